use super::super::samples::{self, NOW_MS, made, owner};
use super::*;
use crate::mcp::SessionId;

fn table(change: impl FnOnce(&mut Limits)) -> Table {
    let mut limits = Limits::default();
    change(&mut limits);
    Table::new(limits)
}

fn keep(table: &Table, record: Record) -> Arc<Record> {
    let record = Arc::new(record);
    table.admit(&record).unwrap();
    table.publish(&record);
    record
}

fn full(limit: &'static str, value: usize) -> Result<(), Refused> {
    Err(Refused::Full { limit, value })
}

#[test]
fn a_task_is_found_by_its_owner_and_is_unknown_to_everybody_else() {
    let table = table(|_| {});
    let record = keep(&table, made(1));
    let id = record.id.text();
    assert_eq!(
        *table.find(&id, owner().principal).unwrap().record(),
        *record
    );
    assert!(table.find(&id, Principal(8)).is_none());
    assert!(table.find(&id, Principal::ANONYMOUS).is_none());
    assert!(table.find(&made(2).id.text(), owner().principal).is_none());
    assert!(table.find("not an id", owner().principal).is_none());
}

#[test]
fn each_bound_refuses_the_task_that_would_break_it_and_lets_it_in_when_there_is_room() {
    let count = table(|limits| limits.task_count_max = 2);
    let first = keep(&count, made(1));
    keep(&count, made(2));
    assert_eq!(count.admit(&made(3)), full("limits.task_count_max", 2));
    count.remove(&first);
    assert_eq!(count.admit(&made(3)), Ok(()));
    assert_eq!(count.counts().refused, 1);

    let share = table(|limits| limits.task_share_max = 1);
    let first = keep(&share, made(1));
    assert_eq!(share.admit(&made(2)), full("limits.task_share_max", 1));
    let mut others = made(3);
    others.owner.principal = Principal(8);
    keep(&share, others);
    share.remove(&first);
    keep(&share, made(2));
    for number in 10..20 {
        let mut anybodys = made(number);
        anybodys.owner.principal = Principal::ANONYMOUS;
        keep(&share, anybodys);
    }

    let bytes = made(1).kept_bytes();
    let space = table(|limits| limits.task_bytes_max = bytes + 1);
    let first = keep(&space, made(1));
    assert_eq!(
        space.admit(&made(2)),
        full("limits.task_bytes_max", bytes + 1)
    );
    space.remove(&first);
    keep(&space, made(2));
}

#[test]
fn what_tasks_keep_is_counted_as_they_grow_and_shrink_and_is_nothing_in_the_end() {
    let table = table(|_| {});
    for record in samples::in_each_state() {
        let mut first = made(1);
        first.id = record.id;
        let first = keep(&table, first);
        let record = Arc::new(record);
        table.publish(&record);
        assert_eq!(table.counts().kept_bytes, record.kept_bytes());
        assert_ne!(first.id.text(), "");
        table.remove(&record);
        assert_eq!((table.counts().kept, table.counts().kept_bytes), (0, 0));
        assert!(table.shares.pin().is_empty());
    }
}

#[test]
fn who_follows_a_task_hears_of_each_change_once_and_of_its_end() {
    let table = table(|_| {});
    let record = keep(&table, made(1));
    let entry = table.find(&record.id.text(), owner().principal).unwrap();
    let next = |before: &Record| Arc::new(before.failed("x", NOW_MS));

    let failed = next(&record);
    assert!(!table.publish(&failed), "nobody follows it yet");
    assert_eq!(table.changes(), 0);

    let mut follow = entry.follow();
    assert_eq!(
        follow.news(),
        Some(Arc::clone(&failed)),
        "the first look tells how it is"
    );
    follow.told(&failed);
    assert_eq!(follow.news(), None);
    let again = next(&failed);
    assert!(table.publish(&again));
    assert_eq!(table.changes(), 1);
    for _ in 0..2 {
        assert_eq!(follow.news(), Some(Arc::clone(&again)), "until it is told");
    }
    assert!(table.remove(&again));
    assert!(follow.entry().is_gone());
    assert_eq!(table.changes(), 2);
    drop(follow);
    assert_eq!(entry.followers.load(Ordering::SeqCst), 0);
}

#[test]
fn a_list_names_the_callers_own_tasks_oldest_first_and_goes_on_where_it_ended() {
    let table = table(|_| {});
    for number in 0..10 {
        let mut record = made(number);
        record.created_ms = NOW_MS + 100 - u64::from(number % 5);
        keep(&table, record);
    }
    let mut others = made(100);
    others.owner.principal = Principal(8);
    keep(&table, others);

    let mut after = None;
    let mut found = Vec::new();
    for size in [3, 3, 3, 1] {
        let page = table.list(&owner(), after, 3);
        assert_eq!(page.records.len(), size);
        found.extend(
            page.records
                .iter()
                .map(|record| (record.created_ms, record.id)),
        );
        after = page.next;
        assert_eq!(after.is_some(), found.len() < 10);
    }
    let mut sorted = found.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted, found);
    assert_eq!(found.len(), 10);

    // A session that nobody authenticated sees its own, and not those of others.
    let session = |byte| Owner {
        principal: Principal::ANONYMOUS,
        session: Some(SessionId::new([byte; 16])),
    };
    let mut anybodys = made(50);
    anybodys.owner = session(1);
    keep(&table, anybodys);
    assert_eq!(table.list(&session(1), None, 10).records.len(), 1);
    assert_eq!(table.list(&session(2), None, 10).records.len(), 0);
}

#[test]
fn ends_are_counted_by_their_kind_once() {
    let table = table(|_| {});
    for record in samples::in_each_state() {
        let mut first = made(1);
        first.id = record.id;
        keep(&table, first);
        table.publish(&Arc::new(record));
    }
    let counts = table.counts();
    assert_eq!(
        (counts.completed, counts.failed, counts.cancelled),
        (2, 1, 1)
    );
    // What an earlier process left behind has ended there.
    let ended = Arc::new(made(9).cancelled(NOW_MS));
    table.take(&ended);
    table.publish(&ended);
    assert_eq!(table.counts().cancelled, 1);
}
