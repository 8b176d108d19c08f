use super::super::samples;
use super::*;

#[test]
fn a_task_in_each_state_reads_back_whole() {
    for record in samples::in_each_state() {
        let text = write(&record);
        assert_eq!(
            read(&text).as_ref(),
            Ok(&record),
            "{:?}",
            String::from_utf8_lossy(&text)
        );
        let mut lines = text.splitn(2, |byte| *byte == b'\n');
        for line in [lines.next().unwrap(), lines.next().unwrap()] {
            serde_json::from_slice::<serde_json::Value>(line).unwrap();
        }
    }
}

#[test]
fn a_file_that_is_cut_anywhere_or_has_one_bit_flipped_is_no_task() {
    for record in samples::in_each_state() {
        let text = write(&record);
        for length in 0..text.len() {
            assert!(read(&text[..length]).is_err(), "cut to {length}");
        }
        for index in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[index / 8] ^= 1 << (index % 8);
            assert!(read(&flipped).is_err(), "bit {index} flipped");
        }
        let mut longer = text.clone();
        longer.push(b'\n');
        assert!(read(&longer).is_err());
    }
}

#[test]
fn another_form_is_told_apart_from_damage() {
    let text = String::from_utf8(write(&samples::made(1))).unwrap();
    let newer = text.replacen("\"margay_task\":1", "\"margay_task\":2", 1);
    assert_eq!(read(newer.as_bytes()), Err(Unreadable::Form(2)));
}

#[test]
fn a_member_that_is_missing_unknown_doubled_or_of_another_kind_is_damage() {
    for record in samples::in_each_state() {
        let body = String::from_utf8(write_record(&record)).unwrap();
        assert!(read(&sealed(body.as_bytes())).is_ok());
        let whole: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&body).unwrap();
        let text = |map: &serde_json::Map<_, _>| serde_json::to_string(map).unwrap();
        // What may be missing is what was never there.
        let optional = [
            "client_info",
            "meta",
            "principal_name",
            "guest_state",
            "result_meta",
        ];
        for name in whole.keys() {
            let mut less = whole.clone();
            less.shift_remove(name);
            let found = read(&sealed(text(&less).as_bytes()));
            assert_eq!(found.is_ok(), optional.contains(&name.as_str()), "{name}");
            // Whatever JSON stands for the client's own texts is theirs.
            if !["client_info", "meta", "arguments"].contains(&name.as_str()) {
                let mut other = whole.clone();
                other.insert(name.clone(), serde_json::json!([1]));
                assert!(read(&sealed(text(&other).as_bytes())).is_err(), "{name}");
            }
        }
        let doubled = format!("{{\"state\":\"working\",{}", &body[1..]);
        assert!(
            read(&sealed(doubled.as_bytes()))
                .unwrap_err()
                .to_string()
                .contains("twice")
        );
        let more = format!("{{\"colour\":1,{}", &body[1..]);
        assert!(
            read(&sealed(more.as_bytes()))
                .unwrap_err()
                .to_string()
                .contains("unknown")
        );
    }
}

#[test]
fn a_task_that_waits_for_nothing_is_damage() {
    let asking = &samples::in_each_state()[1];
    let body = String::from_utf8(write_record(asking)).unwrap();
    let start = body.find("\"questions\":").unwrap();
    let body = format!("{}\"questions\":{{}}}}", &body[..start]);
    assert!(
        read(&sealed(body.as_bytes()))
            .unwrap_err()
            .to_string()
            .contains("no open question")
    );
}

#[test]
fn whatever_is_read_reads_back() {
    for record in samples::in_each_state() {
        let body = write_record(&record);
        check(&body);
        check(&body[..body.len() / 2]);
        check(&write(&record));
    }
}
