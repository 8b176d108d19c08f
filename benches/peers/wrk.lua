-- One fixed ring of requests with distinct ids, formatted before the clock starts, so that the generator spends
-- nothing on making them. With CHECK set, every answer is looked at; that pass is not timed.
local body, expected = os.getenv("PEER_BODY"), os.getenv("PEER_EXPECTED")
local requests, index, bad = {}, 0, 0

function init()
    wrk.method = "POST"
    for line in os.getenv("PEER_HEADERS"):gmatch("[^\n]+") do
        local name, value = line:match("^([^:]+): (.*)$")
        wrk.headers[name] = value
    end
    for id = 1, 4096 do
        requests[id] = wrk.format(nil, nil, nil, (body:gsub("%%ID%%", tostring(id))))
    end
end

function request()
    index = index % #requests + 1
    return requests[index]
end

if os.getenv("PEER_CHECK") then
    local threads = {}
    function setup(thread) table.insert(threads, thread); thread:set("bad", 0) end
    function response(status, _, answer)
        if status ~= 200 or not answer:find(expected, 1, true) then bad = bad + 1 end
    end
    function done(summary)
        for _, thread in ipairs(threads) do bad = bad + thread:get("bad") end
        io.write(string.format("PEER %d %d\n", summary.requests, bad))
    end
else
    function done(summary, latency)
        local errors = summary.errors
        io.write(string.format("PEER %d %d %f %f %f\n", summary.requests, summary.duration,
            latency:percentile(50), latency:percentile(99),
            errors.connect + errors.read + errors.write + errors.status + errors.timeout))
    end
end
