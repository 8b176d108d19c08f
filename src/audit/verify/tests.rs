use super::*;

const KEY: Key = [7; 32];

/// A log of this many lines with a checkpoint after each tenth, and its head.
fn log(count: u64) -> (Vec<Vec<u8>>, Head) {
    let mut link = Link::BEGINNING;
    let mut lines = Vec::new();
    for number in 0..count {
        let members = match number {
            number if number % 10 == 9 => link.checkpoint(&KEY),
            number => format!("\"kind\":\"ComponentLoad\",\"detail\":\"{number}\"").into_bytes(),
        };
        let mut line = Vec::new();
        link.append(&mut line, number, &members);
        line.pop();
        lines.push(line);
    }
    (lines, Head::new(link, &KEY))
}

fn verified(lines: &[Vec<u8>], key: Option<Key>, head: Option<Head>) -> Report {
    let mut verifier = Verifier::new(key, head);
    verifier.file("audit.0001.jsonl");
    lines.iter().for_each(|line| verifier.line(line));
    verifier.finish()
}

fn first(report: &Report) -> Option<(Option<u64>, &Fault)> {
    let finding = report.findings.first()?;
    Some((finding.seq, &finding.fault))
}

#[test]
fn an_untouched_log_is_intact() {
    let (lines, head) = log(35);
    let report = verified(&lines, Some(KEY), Some(head));
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.first, report.last, report.lines), (1, 35, 35));
    assert_eq!((report.checkpoints, report.last_checkpoint), (3, 30));
}

#[test]
fn a_flip_of_any_byte_is_found_at_its_line_without_a_key() {
    let (lines, _) = log(12);
    for index in 0..lines.len() {
        for byte in 0..lines[index].len() {
            let mut lines = lines.clone();
            lines[index][byte] ^= 1;
            let report = verified(&lines, None, None);
            let finding = report.findings.first();
            let line = finding.map(|finding| finding.line);
            assert_eq!(line, Some(index as u64 + 1), "byte {byte}");
        }
    }
}

#[test]
fn deletion_swap_insertion_and_replacement_are_found_where_they_are() {
    let (lines, _) = log(12);
    for index in 1..11 {
        let seq = index as u64 + 1;
        let mut cut = lines.clone();
        cut.remove(index);
        let gap = Fault::Gap { from: seq, to: seq };
        let report = verified(&cut, None, None);
        assert_eq!(first(&report), Some((Some(seq + 1), &gap)));

        let mut swapped = lines.clone();
        swapped.swap(index, index - 1);
        assert!(!verified(&swapped, None, None).is_intact());

        let mut repeated = lines.clone();
        repeated.insert(index, lines[index - 1].clone());
        let expected = Fault::OutOfOrder { expected: seq };
        let report = verified(&repeated, None, None);
        assert_eq!(first(&report), Some((Some(seq - 1), &expected)));

        // Its own hash is right; that of the line after it tells.
        let mut replaced = lines.clone();
        let mut link = Line::read(&lines[index]).unwrap().before();
        let mut line = Vec::new();
        link.append(&mut line, 0, b"\"kind\":\"ComponentLoad\"");
        line.pop();
        replaced[index] = line;
        let report = verified(&replaced, None, None);
        assert_eq!(first(&report), Some((Some(seq + 1), &Fault::Unlinked)));
    }
    let mut junk = lines.clone();
    junk.insert(3, b"{}".to_vec());
    let report = verified(&junk, None, None);
    assert_eq!(first(&report), Some((None, &Fault::Unreadable)));
}

#[test]
fn a_log_written_anew_is_found_by_its_checkpoints_and_its_head() {
    let (_, head) = log(35);
    // All of it, by somebody without the key, with checkpoints of the same look.
    let mut link = Link::BEGINNING;
    let mut lines = Vec::new();
    for number in 0..35 {
        let members = match number {
            number if number % 10 == 9 => link.checkpoint(&[8; 32]),
            _ => b"\"kind\":\"ComponentLoad\"".to_vec(),
        };
        let mut line = Vec::new();
        link.append(&mut line, number, &members);
        line.pop();
        lines.push(line);
    }
    let report = verified(&lines, Some(KEY), Some(head));
    assert_eq!(first(&report), Some((Some(10), &Fault::FalseCheckpoint)));
    let faults: Vec<_> = report.findings.iter().map(|one| &one.fault).collect();
    assert!(faults.contains(&&Fault::CutOff { head: 35 }));
    let forged = Head::new(link, &[8; 32]);
    let report = verified(&lines, Some(KEY), Some(forged));
    let faults: Vec<_> = report.findings.iter().map(|one| &one.fault).collect();
    assert!(faults.contains(&&Fault::FalseHead));
    // Without the key it looks right: that is what the key is for.
    assert!(verified(&lines, None, Some(forged)).is_intact());
}

#[test]
fn checkpoints_that_were_left_out_are_missed() {
    let mut link = Link::BEGINNING;
    let mut verifier = Verifier::new(Some(KEY), None);
    verifier.file("audit.0001.jsonl");
    let mut line = Vec::new();
    for number in 0..CHECKPOINT_LINES + 17 {
        line.clear();
        link.append(&mut line, number, b"\"kind\":\"X\"");
        verifier.line(line.trim_ascii_end());
    }
    let report = verifier.finish();
    let missing = Fault::NoCheckpoint { since: 0 };
    assert_eq!(
        first(&report),
        Some((Some(CHECKPOINT_LINES + 17), &missing))
    );
}

#[test]
fn a_cut_end_and_a_lost_beginning_are_found() {
    let (lines, head) = log(35);
    for kept in [0, 1, 30, 34] {
        let report = verified(&lines[..kept], Some(KEY), Some(head));
        let faults: Vec<_> = report.findings.iter().map(|one| &one.fault).collect();
        assert!(faults.contains(&&Fault::CutOff { head: 35 }), "{kept}");
    }
    let report = verified(&lines[5..], Some(KEY), Some(head));
    assert_eq!(first(&report), Some((Some(6), &Fault::NoBeginning)));
    // Unless the log says so itself.
    let mut link = Line::read(&lines[34]).unwrap().link();
    let mut line = Vec::new();
    link.append(&mut line, 0, b"\"kind\":\"SegmentRemoved\",\"last\":5");
    line.pop();
    let mut told = lines[5..].to_vec();
    told.push(line);
    assert!(verified(&told, Some(KEY), Some(head)).is_intact());
    assert_eq!(
        first(&verified(&lines, Some(KEY), None)),
        Some((None, &Fault::NoHead))
    );
}

#[test]
fn a_head_reads_as_it_was_written_and_no_other_way() {
    let (_, head) = log(3);
    let written = head.write();
    assert_eq!(Head::read(&written), Some(head));
    for index in 0..written.len() {
        let mut changed = written.clone();
        changed[index] ^= 1;
        let read = Head::read(&changed);
        assert!(read.is_none_or(|read| !read.is_genuine(&KEY)), "{index}");
    }
}
