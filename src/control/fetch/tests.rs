use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;

/// Serves these answers, one a connection, and says what was asked.
fn serve(answers: Vec<String>) -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut socket, _) = listener.accept().unwrap();
            let mut bytes = [0; 4096];
            let length = socket.read(&mut bytes).unwrap();
            asked.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            // A reader that has had enough closes.
            let _ = socket.write_all(answer.as_bytes());
        }
        asked
    });
    (port, thread)
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn to(location: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    )
}

fn loopback() -> Guard {
    Guard::new(["127.0.0.1".parse().unwrap()])
}

fn fetch() -> Fetch {
    Fetch::new(None).unwrap()
}

#[tokio::test]
async fn a_redirect_is_checked_like_the_first_url() {
    let (port, served) = serve(vec![to("/next"), to("http://169.254.169.254/latest")]);
    let url = format!("http://localhost:{port}/first?secret=1");
    let error = fetch()
        .get("document", &url, &loopback())
        .await
        .unwrap_err();
    assert!(matches!(&error, FetchError::Refused(_)), "{error}");
    assert!(error.to_string().contains("169.254.169.254"), "{error}");
    let asked = served.join().unwrap();
    assert!(asked[0].starts_with("GET /first?secret=1 ") && asked[1].starts_with("GET /next "));
}

#[tokio::test]
async fn an_inner_address_is_never_connected_to_for_an_upstream_of_the_internet() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let public = Guard::new(["8.8.8.8".parse().unwrap()]);
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let url = format!("https://{host}:{port}/");
        let error = fetch().get("document", &url, &public).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused(_)), "{host}: {error}");
    }
    assert!(listener.accept().is_err(), "nobody came");
}

#[tokio::test]
async fn an_answer_without_an_end_is_given_up() {
    let body = "x".repeat(BODY_BYTES_MAX + 1);
    let (port, served) = serve(vec![ok(&body)]);
    let url = format!("http://127.0.0.1:{port}/d?token=hush");
    let error = fetch()
        .get("document", &url, &loopback())
        .await
        .unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("more than 262144 bytes") && !said.contains("hush"),
        "{said}"
    );
    served.join().unwrap();
}

#[tokio::test]
async fn a_post_goes_to_one_place_only() {
    let (port, served) = serve(vec![to("/elsewhere")]);
    let url = format!("http://127.0.0.1:{port}/token");
    let (body, authorization) = (Secret::new("a=b"), Secret::new("Basic x"));
    let post = Post {
        content_type: "application/x-www-form-urlencoded",
        body: &body,
        authorization: Some(&authorization),
    };
    let fetched = fetch()
        .post("token_endpoint", &url, &loopback(), post)
        .await
        .unwrap();
    assert_eq!(
        (fetched.status, fetched.location.as_deref()),
        (302, Some("/elsewhere"))
    );
    let asked = served.join().unwrap().remove(0).to_lowercase();
    assert!(
        asked.contains("authorization: basic x") && asked.starts_with("post /token "),
        "{asked}"
    );
}
