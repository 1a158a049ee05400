//! What comes back: times, sizes, cuts, and what is sent along.

use super::*;
use tokio::sync::mpsc;

/// `{"hello":"world"}`, compressed.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xabV\xcaH\xcd\xc9\xc9W\xb2R*\xcf/\xcaIQ\xaa\x05\x00\xd1A\t\xd8\x11\x00\x00\x00";

#[tokio::test]
async fn outgoing_request_names_only_the_user_agent() {
    let server = wiremock::MockServer::start().await;
    let answer = wiremock::ResponseTemplate::new(200).insert_header("set-cookie", "a=b").set_body_string("{}");
    wiremock::Mock::given(wiremock::matchers::any()).respond_with(answer).mount(&server).await;
    let outbound = outbound(&["loopback"]);
    let url: Url = server.uri().parse().unwrap();
    for _ in 0..2 {
        let request = Request::post_form(url.clone(), [("grant_type", "authorization_code"), ("code", "a b")]);
        let response = outbound.send(request).await.unwrap();
        assert_eq!((response.status, response.body.as_ref()), (StatusCode::OK, &b"{}"[..]));
        assert_eq!(response.headers["set-cookie"], "a=b");
    }
    for received in server.received_requests().await.unwrap() {
        let mut names: Vec<_> = received.headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "accept-encoding", "content-length", "content-type", "host", "user-agent"]);
        assert_eq!(received.headers["user-agent"], format!("Vestibule/{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(received.headers["accept-encoding"], "gzip");
        assert_eq!(received.body, b"grant_type=authorization_code&code=a+b");
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit() {
    let outbound = outbound(&["loopback"]);
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n";
    for (answer, limit, wanted) in [
        (format!("{head}content-length: 4\r\n\r\nbody"), 4, Ok(&b"body"[..])),
        (format!("{head}content-length: 4\r\n\r\nbody"), 3, Err(Failure::TooLarge)),
        // Refused by what it announces, before a byte of it is read.
        (format!("{head}content-length: 1073741824\r\n\r\n"), 65_536, Err(Failure::TooLarge)),
        // Announces nothing.
        (format!("{head}\r\nbody"), 4, Ok(&b"body"[..])),
        (format!("{head}\r\nbody"), 3, Err(Failure::TooLarge)),
        (format!("{head}transfer-encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"), 4, Ok(&b"body"[..])),
        (format!("{head}transfer-encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"), 3, Err(Failure::TooLarge)),
    ] {
        let peer = Peer::saying(answer.clone()).await;
        let outcome = outbound.send(Request::get(peer.url()).at_most(limit)).await.map(|response| response.body);
        assert_eq!(outcome, wanted.map(Bytes::from_static), "{answer}, {limit}");
    }
}

#[tokio::test]
async fn gzip_is_counted_after_decompression() {
    let outbound = outbound(&["loopback"]);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", GZIP.len());
    let peer = Peer::saying([head.as_bytes(), GZIP].concat()).await;
    let body = outbound.send(Request::get(peer.url()).at_most(17)).await.unwrap().body;
    assert_eq!(body, "{\"hello\":\"world\"}");
    assert_eq!(failure(outbound.send(Request::get(peer.url()).at_most(16)).await), Failure::TooLarge);
}

/// Sends `head`, then `piece` without end, and reports how many bytes went out before the client hung up.
async fn endless(head: &'static [u8], piece: Vec<u8>) -> (Peer, mpsc::UnboundedReceiver<usize>) {
    let (report, reports) = mpsc::unbounded_channel();
    let peer = Peer::start(move |mut stream| {
        let (piece, report) = (piece.clone(), report.clone());
        async move {
            read_head(&mut stream).await;
            let mut sent = 0;
            if stream.write_all(head).await.is_ok() {
                while let Ok(written) = stream.write(&piece).await {
                    sent += written;
                }
            }
            let _ = report.send(sent);
        }
    })
    .await;
    (peer, reports)
}

#[tokio::test]
async fn an_endless_body_is_left_after_the_limit() {
    let (peer, mut reports) = endless(b"HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 64 * 1024]).await;
    let outbound = outbound(&["loopback"]);
    assert_eq!(failure(get(&outbound, peer.url().as_str()).await), Failure::TooLarge);
    // What is beyond our 64 KiB filled the two sockets' buffers, not our memory.
    let sent = reports.recv().await.unwrap();
    assert!(sent < 16 * 1024 * 1024, "{sent}");
}

#[tokio::test]
async fn a_gzip_bomb_is_left_after_the_limit() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff";
    let (peer, mut reports) = endless(head, bomb()).await;
    let outbound = outbound(&["loopback"]);
    let request = Request::get(peer.url()).at_most(256 * 1024);
    assert_eq!(failure(outbound.send(request).await), Failure::TooLarge);
    let sent = reports.recv().await.unwrap();
    assert!(sent < 16 * 1024 * 1024, "{sent}");
}

/// A DEFLATE block (RFC 1951, fixed codes) of a literal and 2 520 repetitions of 258 bytes, a whole number of bytes
/// long: 4 KiB that unpack to 650 KiB. It has no end, and may be sent again and again.
fn bomb() -> Vec<u8> {
    let mut bits = String::from("010");
    bits.push_str("00110000");
    for _ in 0..2_520 {
        // Length 258 (symbol 285), distance 1.
        bits.push_str("1100010100000");
    }
    // End of block, then padding with empty fixed blocks (10 bits each) up to a whole byte.
    bits.push_str("0000000");
    while bits.len() % 8 != 0 {
        bits.push_str("0100000000");
    }
    let byte = |bits: &[u8]| bits.iter().enumerate().fold(0u8, |byte, (at, bit)| byte | ((bit - b'0') << at));
    bits.as_bytes().chunks(8).map(byte).collect()
}

#[tokio::test]
async fn slow_answers_end_in_time_and_their_connection_is_closed() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let silent = Peer::start(move |mut stream| {
        let report = report.clone();
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome").await;
            let mut rest = [0u8; 1];
            let _ = report.send(stream.read(&mut rest).await.unwrap_or(0));
        }
    })
    .await;
    let outbound = outbound(&["loopback"]);
    let request = Request::get(silent.url()).within(Duration::from_millis(200));
    assert_eq!(failure(outbound.send(request).await), Failure::Timeout);
    assert_eq!(reports.recv().await, Some(0), "the peer sees the end of the connection");
}

#[tokio::test]
async fn one_byte_at_a_time_does_not_extend_the_time() {
    let drip = Peer::start(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let outbound = outbound(&["loopback"]);
    let request = Request::get(drip.url()).within(Duration::from_millis(300));
    assert_eq!(failure(outbound.send(request).await), Failure::Timeout);
}

#[tokio::test]
async fn broken_answers_are_cuts() {
    let outbound = outbound(&["loopback"]);
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", "HTTP/1.1 200", "no HTTP at all\r\n\r\n"] {
        let peer = Peer::saying(answer).await;
        assert_eq!(failure(get(&outbound, peer.url().as_str()).await), Failure::Cut, "{answer}");
    }
    let peer = Peer::saying("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope").await;
    assert_eq!(failure(get(&outbound, peer.url().as_str()).await), Failure::Cut);
}

#[tokio::test]
async fn five_refused_connections_open_the_breaker() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outbound = outbound(&["loopback"]);
    let url = format!("http://{closed}/");
    for _ in 0..5 {
        assert_eq!(failure(get(&outbound, &url).await), Failure::Refused);
    }
    let listener = TcpListener::bind(closed).await.unwrap();
    assert_eq!(failure(get(&outbound, &url).await), Failure::Breaker);
    drop(listener);
    // Other hosts are not concerned.
    let peer = Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert!(get(&outbound, peer.url().as_str()).await.is_ok());
}

#[tokio::test]
async fn the_65th_request_to_a_slow_host_fails_at_once() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let slow = Peer::start(move |mut stream| {
        let arrived = arrived.clone();
        async move {
            read_head(&mut stream).await;
            let _ = arrived.send(());
            std::future::pending::<()>().await;
        }
    })
    .await;
    let outbound = Arc::new(outbound(&["loopback"]));
    let mut waiting = Vec::new();
    for _ in 0..64 {
        let (outbound, url) = (Arc::clone(&outbound), slow.url());
        waiting.push(tokio::spawn(async move { outbound.send(Request::get(url)).await.err() }));
    }
    for _ in 0..64 {
        arrivals.recv().await.unwrap();
    }
    assert_eq!(failure(get(&outbound, slow.url().as_str()).await), Failure::Breaker);
    // A caller who goes away gives the place back.
    waiting.pop().unwrap().abort();
    while failure(outbound.send(Request::get(slow.url()).within(Duration::from_millis(20))).await) == Failure::Breaker {
        tokio::task::yield_now().await;
    }
    waiting.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn a_conditional_request_may_be_answered_with_304() {
    let peer = Peer::saying("HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n").await;
    let request = Request::get(peer.url()).header(IF_NONE_MATCH, http::HeaderValue::from_static("\"a\""));
    assert_eq!(outbound(&["loopback"]).send(request).await.unwrap().status, StatusCode::NOT_MODIFIED);
}
