use super::*;

#[test]
fn a_token_is_renewed_before_it_is_worth_nothing() {
    let seconds = |expires_in_s| renewal_in(expires_in_s).as_secs();
    assert_eq!(seconds(3600), 3540);
    assert_eq!(seconds(40), 30);
    assert_eq!(seconds(0), 5, "not in a loop");
    assert_eq!(seconds(u64::MAX), 24 * 3600);
}
