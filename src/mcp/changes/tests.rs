use super::*;

const PLENTY: usize = 1 << 20;

fn subscriptions(changes: &Arc<Changes>) -> Subscriptions {
    Subscriptions::new(Arc::clone(changes), ByteBudget::new(PLENTY))
}

fn lists(told: &mut Told, changes: &Changes) -> Vec<List> {
    let mut found = Vec::new();
    told.news(changes, |list| {
        found.push(list);
        true
    });
    found
}

fn uris(subscriptions: &mut Subscriptions) -> Vec<String> {
    let mut found = Vec::new();
    subscriptions.news(|uri| {
        found.push(uri.to_owned());
        true
    });
    found.sort();
    found
}

#[test]
fn a_change_is_told_once_however_often_it_happened() {
    let changes = Changes::default();
    let mut told = changes.now();
    assert!(lists(&mut told, &changes).is_empty());
    let generation = changes.generation();
    changes.list_changed(List::Tools);
    changes.list_changed(List::Tools);
    changes.list_changed(List::Templates);
    assert!(changes.generation() > generation);
    assert_eq!(lists(&mut told, &changes), [List::Tools, List::Resources]);
    assert!(lists(&mut told, &changes).is_empty());
    changes.list_changed(List::Prompts);
    changes.list_changed(List::Tasks);
    assert_eq!(lists(&mut told, &changes), [List::Prompts]);
    assert!(
        lists(&mut changes.now(), &changes).is_empty(),
        "who comes later has nothing to hear"
    );
}

#[test]
fn an_update_is_told_once_to_each_subscriber_and_to_nobody_else() {
    let changes = Arc::new(Changes::default());
    let (mut one, mut other) = (subscriptions(&changes), subscriptions(&changes));
    assert!(!changes.resource_updated("a:1"), "nobody listens yet");
    one.add("a:1", 9).unwrap();
    one.add("a:2", 9).unwrap();
    other.add("a:1", 9).unwrap();
    assert!(uris(&mut one).is_empty(), "not of what was before");
    assert!(changes.resource_updated("a:1"));
    assert!(changes.resource_updated("a:1"));
    assert!(!changes.resource_updated("a:3"));
    assert_eq!(uris(&mut one), ["a:1"]);
    assert!(uris(&mut one).is_empty());
    assert_eq!(uris(&mut other), ["a:1"]);
    assert!(other.remove("a:1") && !other.remove("a:1"));
    changes.resource_updated("a:1");
    assert_eq!(uris(&mut one), ["a:1"], "the others go on");
    assert!(uris(&mut other).is_empty());
}

#[test]
fn what_could_not_be_told_is_still_to_be_told() {
    let changes = Arc::new(Changes::default());
    let (mut told, mut follows) = (changes.now(), subscriptions(&changes));
    follows.add("a:1", 9).unwrap();
    changes.list_changed(List::Tools);
    changes.resource_updated("a:1");
    told.news(&changes, |_| false);
    follows.news(|_| false);
    assert_eq!(lists(&mut told, &changes), [List::Tools]);
    assert_eq!(uris(&mut follows), ["a:1"]);
}

#[test]
fn what_nobody_subscribes_to_any_longer_is_forgotten() {
    let changes = Arc::new(Changes::default());
    let budget = ByteBudget::new(PLENTY);
    let mut one = Subscriptions::new(Arc::clone(&changes), Arc::clone(&budget));
    let mut other = Subscriptions::new(Arc::clone(&changes), Arc::clone(&budget));
    one.add("a:1", 9).unwrap();
    one.add("a:1", 9).unwrap();
    other.add("a:1", 9).unwrap();
    one.add("a:2", 9).unwrap();
    assert_eq!((one.len(), changes.watched_count()), (2, 2));
    drop(one);
    assert_eq!(changes.watched_count(), 1);
    // A change while nobody of them was there is none that they were to be told of.
    other.clear();
    assert!(other.is_empty());
    assert_eq!((changes.watched_count(), budget.used()), (0, 0));
    changes.resource_updated("a:1");
    other.add("a:1", 9).unwrap();
    assert!(uris(&mut other).is_empty());
}

#[test]
fn subscriptions_keep_to_their_bounds() {
    let changes = Arc::new(Changes::default());
    let budget = ByteBudget::new(3 * ENTRY_BYTES);
    let mut one = Subscriptions::new(Arc::clone(&changes), Arc::clone(&budget));
    assert_eq!(
        one.add("a:1", 0),
        Err(SubscribeError::Full { count_max: 0 })
    );
    one.add("a:1", 9).unwrap();
    one.add("a:2", 9).unwrap();
    let full = SubscribeError::Budget {
        bytes_max: budget.limit(),
    };
    assert_eq!(one.add("a:3", 9), Err(full));
    assert_eq!(changes.watched_count(), 2, "what is refused is not kept");
    one.add("a:1", 2).unwrap();
    assert_eq!(
        one.add("a:3", 2),
        Err(SubscribeError::Full { count_max: 2 })
    );
}

/// Threads that subscribe, leave and announce at once: every announcement is seen by whoever was there, and nothing is
/// left behind.
#[test]
fn no_announcement_is_lost_between_threads() {
    let changes = Arc::new(Changes::default());
    let mut stays = subscriptions(&changes);
    stays.add("a:1", 9).unwrap();
    let mut told = changes.now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let mut comes = subscriptions(&changes);
                    comes.add("a:1", 9).unwrap();
                    comes.add("a:2", 9).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..2_000 {
                assert!(changes.resource_updated("a:1"), "somebody is there always");
                changes.resource_updated("a:2");
                changes.list_changed(List::Tools);
            }
        });
        let mut seen = changes.generation();
        for _ in 0..10_000 {
            let generation = changes.generation();
            if generation > seen {
                seen = generation;
                uris(&mut stays);
                lists(&mut told, &changes);
            }
        }
    });
    changes.resource_updated("a:1");
    changes.list_changed(List::Tools);
    assert_eq!(uris(&mut stays), ["a:1"]);
    assert_eq!(lists(&mut told, &changes), [List::Tools]);
    assert_eq!(changes.watched_count(), 1);
}
