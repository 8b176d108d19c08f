use std::cell::Cell;

use super::*;
use crate::policy::rule::{Effect, RuleOptions, RuleSet, RuleSpec, What, Who};
use crate::policy::{Identity, Pattern};

/// Entries whose names are numbers of three digits.
fn listing(count: usize, page_max: usize) -> Listing {
    let named = (0..count).map(|number| {
        let name = format!("{number:03}");
        (name.as_str().into(), format!("\"{name}\""))
    });
    Listing::new(named.collect(), page_max)
}

/// So many classes, each of a caller that one rule is about.
fn classes(count: usize) -> Vec<Class> {
    let rule = |number: usize| RuleSpec {
        name: format!("r{number}"),
        effect: Effect::Allow,
        who: Who {
            subjects: vec![Pattern::new(&format!("s{number}"))],
            ..Who::default()
        },
        what: What::default(),
        arguments: Vec::new(),
        needs_scopes: Vec::new(),
        show_without_scopes: false,
    };
    let options = RuleOptions {
        rules: (0..count).map(rule).collect(),
        ..RuleOptions::default()
    };
    let rules = RuleSet::compile(&options, Effect::Deny).unwrap();
    let class = |number: usize| {
        rules.class(&Identity {
            subject: format!("s{number}").into(),
            ..Identity::anonymous()
        })
    };
    (0..count).map(class).collect()
}

/// All pages of a list, as a client reads them; and how often it was asked whether an entry is shown.
fn walk(views: &Views, class: Class, list: &Listing, nth: usize) -> (Vec<String>, usize) {
    let asked = Cell::new(0);
    let shows = |name: &str| {
        asked.set(asked.get() + 1);
        name.parse::<usize>().unwrap().is_multiple_of(nth)
    };
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = views.page(class, (0, list), after.as_deref(), shows);
        pages.push(String::from_utf8(page.json.to_vec()).unwrap());
        after = page.next.map(str::to_owned);
        if after.is_none() {
            return (pages, asked.get());
        }
    }
}

/// The same without keeping anything.
fn anew(list: &Listing, nth: usize) -> Vec<String> {
    let shows = |name: &str| name.parse::<usize>().unwrap().is_multiple_of(nth);
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = list.page_where(after.as_deref(), shows);
        pages.push(String::from_utf8(page.json.to_vec()).unwrap());
        after = page.next.map(str::to_owned);
        if after.is_none() {
            return pages;
        }
    }
}

#[test]
fn a_page_is_composed_once_for_all_callers_of_a_class_and_is_what_it_would_be_anew() {
    for (count, page_max) in [(0, 1), (1, 1), (7, 3), (50, 7), (100, 100)] {
        let (views, list) = (Views::default(), listing(count, page_max));
        for (nth, class) in (1..).zip(classes(4)) {
            let first = walk(&views, class, &list, nth);
            assert_eq!(first.0, anew(&list, nth), "{count} {page_max} {nth}");
            assert_eq!(walk(&views, class, &list, nth), (first.0, 0));
        }
        assert_eq!(views.kept().0, 4);
    }
}

#[test]
fn a_page_behind_any_name_is_right_whether_it_begins_a_page_or_not() {
    let (views, list, class) = (Views::default(), listing(30, 4), classes(1)[0]);
    walk(&views, class, &list, 2);
    let shows = |name: &str| name.parse::<usize>().unwrap().is_multiple_of(2);
    for after in ["000", "003", "006", "0065", "029", "zzz", ""] {
        let page = views.page(class, (0, &list), Some(after), shows);
        assert_eq!(page, list.page_where(Some(after), shows), "{after}");
    }
}

#[test]
fn lists_are_kept_apart() {
    let (views, class) = (Views::default(), classes(1)[0]);
    let lists: Vec<Listing> = (1..=VIEW_COUNT).map(|count| listing(count, 10)).collect();
    for _ in 0..2 {
        for (number, list) in lists.iter().enumerate() {
            let page = views.page(class, (number, list), None, |_| true);
            assert_eq!(page.json, list.whole());
        }
    }
}

#[test]
fn classes_and_pages_and_bytes_beyond_the_bounds_are_served_and_not_kept() {
    let (views, list) = (Views::default(), listing(100, 10));
    for (number, class) in classes(300).into_iter().enumerate() {
        let nth = number % 5 + 1;
        for _ in 0..2 {
            assert_eq!(walk(&views, class, &list, nth).0, anew(&list, nth));
        }
    }
    let (count, bytes) = views.kept();
    assert!(
        (LIST_CLASS_COUNT_MAX / 2..=LIST_CLASS_COUNT_MAX).contains(&count),
        "{count}"
    );
    assert!(bytes < LIST_CLASS_COUNT_MAX * 1_000, "{bytes}");
    // Of ten pages the first eight are kept; of the other two, each entry is asked about, and one to see that there are two.
    let (views, class) = (Views::default(), classes(1)[0]);
    assert_eq!(walk(&views, class, &list, 1).0.len(), 10);
    let (pages, asked) = walk(&views, class, &list, 1);
    assert_eq!((pages, asked), (anew(&list, 1), 21));
    // One page that is larger than there is room for.
    let large = format!("\"{}\"", "x".repeat(LIST_CLASS_BYTES_MAX));
    let large = Listing::new(vec![("000".into(), large)], 10);
    let (views, shows) = (Views::default(), |_: &str| true);
    for _ in 0..2 {
        let page = views.page(class, (0, &large), None, shows);
        assert_eq!(page.json.len(), LIST_CLASS_BYTES_MAX + 4);
        assert_eq!(views.kept().1, 0);
    }
}

#[test]
fn the_classes_of_other_rules_are_others() {
    let [one, other] = [classes(3), classes(3)];
    assert!(one.iter().all(|class| !other.contains(class)));
}

#[test]
fn threads_that_compose_at_once_keep_one_page() {
    let (views, list, class) = (Views::default(), listing(200, 200), classes(1)[0]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(walk(&views, class, &list, 1).0, anew(&list, 1)));
        }
    });
    assert_eq!(views.kept(), (1, list.whole().len()));
}
