#!/bin/sh
# Pins a running margay: shard N to the Nth of the given cores, everything else to the rest.
#
#   tuning/pin.sh PID 2-5        shards on cores 2, 3, 4, 5; control, workers, recorder on the others
#   tuning/pin.sh PID 2-5 eth0   and the receive queues of eth0 on the same cores, in the same order
#
# Shard threads are found by name ("shard-0" and so on). Receive queues need root; threads only the same user.
set -eu

[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 64; }
pid="$1" interface="${3:-}"

# "2-5,8" to one core a line.
cores=$(echo "$2" | tr ',' '\n' | while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done)
all=$(seq 0 $(($(nproc --all) - 1)))
rest=$(echo "$all" | grep -vxF "$cores" || true)
# With no core to spare the others share the shards' cores rather than have none.
rest=$(echo "${rest:-$cores}" | paste -sd,)

for task in "/proc/$pid/task"/*; do
    name=$(cat "$task/comm")
    case "$name" in
    shard-[0-9]*)
        index=${name#shard-}
        core=$(echo "$cores" | sed -n "$((index % $(echo "$cores" | wc -l) + 1))p")
        ;;
    *) core=$rest ;;
    esac
    taskset -pc "$core" "${task##*/}" >/dev/null
    echo "$name (${task##*/}): $core"
done

[ -n "$interface" ] || exit 0
index=0
for directory in "/sys/class/net/$interface/device/msi_irqs"/*; do
    irq=${directory##*/}
    grep -q "^ *$irq:.*$interface" /proc/interrupts || continue
    core=$(echo "$cores" | sed -n "$((index % $(echo "$cores" | wc -l) + 1))p")
    echo "$core" >"/proc/irq/$irq/smp_affinity_list"
    echo "interrupt $irq of $interface: $core"
    index=$((index + 1))
done
