//! Client certificates and who they say somebody is.

use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use super::super::*;
use super::forge::NOW;
use crate::policy::Proof;

fn certificate(names: &[&str], alternatives: &[SanType]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for name in names {
        params.distinguished_name.push(DnType::CommonName, *name);
    }
    params.subject_alt_names = alternatives.to_vec();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    params
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .der()
        .to_vec()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn verifier(name_from: NameFrom, clients: &[&str]) -> Verifier {
    let clients = clients.iter().map(|name| CertificateClient {
        name: (*name).into(),
        roles: vec!["known".into()],
        ..CertificateClient::default()
    });
    Verifier {
        certificates: Some(CertificateRules {
            name_from,
            clients: clients.collect(),
        }),
        ..Verifier::default()
    }
}

#[test]
fn a_certificate_names_its_owner_where_the_configuration_looks() {
    let all = certificate(
        &["ann"],
        &[
            uri("spiffe://example/ann"),
            dns("ann.example"),
            SanType::Rfc822Name("ann@example".try_into().unwrap()),
        ],
    );
    for (name_from, name) in [
        (NameFrom::CommonName, "ann"),
        (NameFrom::Uri, "spiffe://example/ann"),
        (NameFrom::Dns, "ann.example"),
        (NameFrom::Email, "ann@example"),
    ] {
        let identity = verifier(name_from, &[])
            .identify(None, Some(&all), NOW)
            .unwrap();
        assert_eq!(
            (&*identity.subject, identity.proof),
            (name, Proof::Certificate)
        );
        assert_eq!(identity.expires_unix_s, Some(2_208_988_801));
        assert!(identity.roles.is_empty());
        let known = verifier(name_from, &["x", name])
            .identify(None, Some(&all), NOW)
            .unwrap();
        assert_eq!(known.roles, ["known".into()]);
        assert_eq!(known.principal, identity.principal);
        assert_eq!(
            verifier(name_from, &["x"]).identify(None, Some(&all), NOW),
            Err(Fault::Unknown)
        );
    }
}

#[test]
fn a_certificate_of_no_name_or_of_several_is_nobodys() {
    let plain = verifier(NameFrom::Uri, &[]);
    for alternatives in [
        vec![],
        vec![dns("ann.example")],
        vec![uri("a:1"), uri("a:2")],
    ] {
        let der = certificate(&["ann"], &alternatives);
        assert!(matches!(
            plain.identify(None, Some(&der), NOW),
            Err(Fault::Claim(_))
        ));
    }
    let several = certificate(&["ann"], &[dns("a.example"), dns("b.example")]);
    let known =
        |clients: &[&str]| verifier(NameFrom::Dns, clients).identify(None, Some(&several), NOW);
    assert_eq!(&*known(&["b.example"]).unwrap().subject, "b.example");
    assert!(matches!(
        known(&["a.example", "b.example"]),
        Err(Fault::Claim(_))
    ));
    let odd = certificate(&["ann\nroot"], &[]);
    assert!(matches!(
        verifier(NameFrom::CommonName, &[]).identify(None, Some(&odd), NOW),
        Err(Fault::Claim(_))
    ));
}

#[test]
fn a_certificate_ends_also_while_its_connection_goes_on() {
    let der = certificate(&["ann"], &[]);
    let at = |now| {
        verifier(NameFrom::CommonName, &[])
            .identify(None, Some(&der), now)
            .map(|_| ())
    };
    assert_eq!(
        (at(2_208_988_800), at(2_208_988_801)),
        (Ok(()), Err(Fault::Expired))
    );
}

#[test]
fn what_is_no_certificate_is_refused_and_a_header_counts_before_one() {
    let der = certificate(&["ann"], &[]);
    let verifier = verifier(NameFrom::CommonName, &[]);
    for wrong in [
        &b""[..],
        b"rubbish",
        &der[..der.len() - 1],
        &[&der[..], b"x"].concat(),
    ] {
        assert!(matches!(
            verifier.identify(None, Some(wrong), NOW),
            Err(Fault::Form(_))
        ));
    }
    assert_eq!(
        verifier.identify(Some(b"Bearer abc"), Some(&der), NOW),
        Err(Fault::Unknown)
    );
    assert_eq!(
        Verifier::default().identify(None, Some(&der), NOW),
        Err(Fault::Missing)
    );
}
