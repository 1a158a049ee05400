//! Clients that take no answer, and clients that send frames instead of requests.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use vestibule::config::{Listen, Rate};
use vestibule::server::{Caps, Server, bind};

/// For what must come, however busy the machine is; less than the 40 s after which a client that answers no PING is
/// cut.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than the buffers of both ends of a socket hold.
const HUGE: usize = 32 << 20;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn caps() -> Caps {
    Caps {
        connections: 100,
        per_address: 0,
        proxies: Default::default(),
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        send: Duration::from_millis(500),
        control_frames: Rate { count: 200, window: Duration::from_secs(3600) },
    }
}

async fn server(change: impl FnOnce(&mut Caps)) -> Server {
    let mut caps = caps();
    change(&mut caps);
    let huge = Bytes::from(vec![b'x'; HUGE]);
    let router = Router::new()
        .route("/", get(|| async { "ok" }))
        .route("/huge", get(move || std::future::ready(huge.clone())))
        .route("/read", post(|body: Bytes| async move { body.len().to_string() }));
    Server::start(bind(&[Listen::Localhost(0)]).await.unwrap(), router, caps)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A request, by the static table of RFC 7541 appendix A.
fn headers(method: u8, path: &str) -> Vec<u8> {
    let mut block = vec![method, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend(b"\x01\x01a");
    block
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// The beginning of a connection whose streams have this window.
fn preface(window: u32) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let setting = [[0, 4].as_slice(), &window.to_be_bytes()].concat();
    bytes.extend(frame(SETTINGS, 0, 0, &setting));
    bytes
}

fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &headers(GET, path))
}

async fn connect(server: &Server, first: &[u8]) -> (OwnedReadHalf, OwnedWriteHalf) {
    let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
    stream.write_all(first).await.unwrap();
    stream.into_split()
}

/// The next frame's kind, flags, stream and payload; `None` when the connection has ended.
async fn next_frame(reader: &mut OwnedReadHalf) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut header = [0; 9];
    reader.read_exact(&mut header).await.ok()?;
    let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = header;
    let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
    reader.read_exact(&mut payload).await.ok()?;
    Some((kind, flags, u32::from_be_bytes([s0, s1, s2, s3]), payload))
}

/// Waits for the end of the connection.
async fn ends(reader: &mut OwnedReadHalf) -> bool {
    let end = async { while next_frame(reader).await.is_some() {} };
    tokio::time::timeout(PATIENCE, end).await.is_ok()
}

async fn is_served(server: &Server) -> bool {
    let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("an answer").unwrap();
    text.starts_with("HTTP/1.1 200") && text.ends_with("ok")
}

#[tokio::test]
async fn connections_whose_streams_have_no_window_are_ended_and_others_are_served() {
    let server = server(|_| {}).await;
    let mut waiting = Vec::new();
    for number in 0..40 {
        // None at all, or so little that each answer has gone into buffers, and the rest waits there.
        let window = number % 2;
        let requests: Vec<u8> = (0..20).flat_map(|index| request(index * 2 + 1, "/")).collect();
        let (mut reader, writer) = connect(&server, &[preface(window), requests].concat()).await;
        waiting.push(tokio::spawn(async move {
            let ended = ends(&mut reader).await;
            drop(writer);
            ended
        }));
    }
    assert!(is_served(&server).await);
    for ended in waiting {
        assert!(ended.await.unwrap(), "a connection that takes no answer is ended");
    }
    assert!(is_served(&server).await);
}

#[tokio::test]
async fn pings_do_not_keep_a_connection_that_takes_no_answer() {
    let server = server(|caps| caps.control_frames.count = 0).await;
    let (mut reader, mut writer) = connect(&server, &[preface(0), request(1, "/")].concat()).await;
    let pinging = tokio::spawn(async move {
        while writer.write_all(&frame(PING, 0, 0, &[0; 8])).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(ends(&mut reader).await);
    pinging.abort();
}

#[tokio::test]
async fn a_client_that_does_not_read_its_socket_is_cut() {
    for http2 in [false, true] {
        let server = server(|caps| caps.connections = 1).await;
        let first = match http2 {
            false => b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            true => {
                let window = frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes());
                [preface(0x7fff_ffff), window, request(1, "/huge")].concat()
            }
        };
        let (mut reader, _writer) = connect(&server, &first).await;
        // There is one place: the next client has it when the first one is gone.
        assert!(is_served(&server).await, "http2: {http2}");
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut rest)).await.expect("an end");
        assert!(rest.len() < HUGE, "{} bytes", rest.len());
    }
}

#[tokio::test]
async fn a_slow_but_steady_reader_is_not_cut() {
    // Five times what the connection may rest, and three of the windows in which something has to be taken.
    let server = server(|caps| (caps.send, caps.idle) = (Duration::from_secs(2), Duration::from_secs(1))).await;
    let (mut reader, mut writer) = connect(&server, &[preface(1024), request(1, "/huge")].concat()).await;
    let mut taken = 0;
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        let (kind, _, _, payload) = tokio::time::timeout(PATIENCE, next_frame(&mut reader))
            .await
            .expect("a frame")
            .unwrap_or_else(|| panic!("cut after {:?} and {taken} bytes", began.elapsed()));
        if kind == DATA {
            taken += payload.len();
            tokio::time::sleep(Duration::from_millis(100)).await;
            let more = u32::try_from(payload.len()).unwrap().to_be_bytes();
            let updates = [frame(WINDOW_UPDATE, 0, 1, &more), frame(WINDOW_UPDATE, 0, 0, &more)].concat();
            writer.write_all(&updates).await.unwrap();
        }
    }
    assert!(taken > 1024, "{taken}");
}

/// A client that resets a stream whose answer it never took has nothing left to take, although the head of that answer may
/// lie in a buffer and be written later. Its other requests are served.
#[tokio::test]
async fn heads_that_wait_while_their_streams_are_reset_do_not_end_the_connection() {
    // On a busy machine the first limit may end the connection before its client reads.
    for send in [1, 5, 20] {
        if goes_on_after_resets(Duration::from_secs(send)).await {
            return;
        }
    }
    panic!("the connection was ended each time");
}

/// Fills a connection with the heads of answers whose bodies never come, resets all streams, takes everything, and goes on
/// for more than two of the windows in which something has to be taken; whether that was served.
async fn goes_on_after_resets(send: Duration) -> bool {
    const OPEN: u32 = 90;
    let seen = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (begun, reset) = (seen.clone(), std::sync::Arc::new(tokio::sync::Notify::new()));
    let noticed = reset.clone();
    let head = move || {
        begun.add_permits(1);
        let never = axum::body::Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        std::future::ready(([("x-long", "x".repeat(12_000))], never))
    };
    let noticing = move || {
        noticed.notify_one();
        std::future::ready("ok")
    };
    let caps = Caps { send, control_frames: Rate { count: 0, ..caps().control_frames }, ..caps() };
    let router =
        Router::new().route("/", get(|| async { "ok" })).route("/head", get(head)).route("/seen", get(noticing));
    let server = Server::start(bind(&[Listen::Localhost(0)]).await.unwrap(), router, caps);

    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = server.addresses().iter().copied().find(std::net::SocketAddr::is_ipv4).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let mut first = 1;
    // Until the socket is full, and heads wait: nobody reads.
    stream.write_all(&preface(65_535)).await.unwrap();
    for _ in 0..4 {
        let streams = (0..OPEN).map(|index| first + index * 2);
        let requests: Vec<u8> = streams.clone().flat_map(|stream| request(stream, "/head")).collect();
        stream.write_all(&requests).await.unwrap();
        let all = tokio::time::timeout(PATIENCE, seen.acquire_many(OPEN)).await.expect("all are handled").unwrap();
        all.forget();
        // The answers reach the connection after their handlers have ended.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let resets: Vec<u8> = streams.flat_map(|stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])).collect();
        let last = first + OPEN * 2;
        stream.write_all(&[resets, request(last, "/seen")].concat()).await.unwrap();
        tokio::time::timeout(PATIENCE, reset.notified()).await.expect("the resets are read");
        first = last + 2;
    }
    let (mut reader, mut writer) = stream.into_split();
    let began = std::time::Instant::now();
    while began.elapsed() < send * 5 / 2 {
        if writer.write_all(&request(first, "/")).await.is_err() {
            return false;
        }
        loop {
            let next = tokio::time::timeout(PATIENCE, next_frame(&mut reader)).await.expect("a frame or the end");
            let Some((kind, flags, on, payload)) = next else { return false };
            if kind == DATA && !payload.is_empty() {
                let more = u32::try_from(payload.len()).unwrap().to_be_bytes();
                let _ = writer.write_all(&frame(WINDOW_UPDATE, 0, 0, &more)).await;
            }
            if on == first && kind == DATA && flags & END_STREAM != 0 {
                break;
            }
        }
        first += 2;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    true
}

/// Sends `first`, then `flood` again and again until the connection ends.
async fn flood(first: Vec<u8>, mut flood: impl FnMut(u32) -> Vec<u8> + Send + 'static) -> bool {
    let server = server(|_| {}).await;
    let (mut reader, mut writer) = connect(&server, &[preface(65_535), first].concat()).await;
    let flooding = tokio::spawn(async move {
        for count in 0..2_000 {
            if writer.write_all(&flood(count)).await.is_err() {
                break;
            }
        }
        writer
    });
    let ended = ends(&mut reader).await;
    flooding.abort();
    assert!(is_served(&server).await);
    ended
}

#[tokio::test]
async fn floods_of_control_frames_end_their_connection() {
    let open = || frame(HEADERS, END_HEADERS, 1, &headers(POST, "/read"));
    let (pings, settings, priorities, windows, unknown, empty, resets, continuations) = tokio::join!(
        flood(Vec::new(), |_| frame(PING, 0, 0, &[0; 8])),
        flood(Vec::new(), |_| frame(SETTINGS, 0, 0, &[])),
        flood(Vec::new(), |_| frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
        flood(open(), |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        flood(Vec::new(), |_| frame(0x77, 0, 0, &[0; 4])),
        flood(open(), |_| frame(DATA, 0, 1, &[])),
        flood(Vec::new(), |count| {
            let stream = count * 2 + 1;
            [request(stream, "/"), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        }),
        flood(frame(HEADERS, END_STREAM, 1, &headers(GET, "/")), |_| frame(CONTINUATION, 0, 1, &[])),
    );
    let ended = [pings, settings, priorities, windows, unknown, empty, resets, continuations];
    assert_eq!(
        ended, [true; 8],
        "PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown, empty DATA, RST_STREAM, CONTINUATION"
    );
}

#[tokio::test]
async fn a_client_that_pings_now_and_then_and_updates_its_windows_is_served() {
    let server = server(|_| {}).await;
    let (mut reader, mut writer) = connect(&server, &preface(65_535)).await;
    let (mut answers, mut acknowledged) = (0, 0);
    for number in 0..150 {
        let stream = number * 2 + 1;
        let updates =
            [frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 2]), frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1])].concat();
        writer.write_all(&[request(stream, "/"), updates, frame(PING, 0, 0, &[1; 8])].concat()).await.unwrap();
        let mut is_answered = false;
        let mut is_acknowledged = false;
        while !(is_answered && is_acknowledged) {
            let next = tokio::time::timeout(PATIENCE, next_frame(&mut reader)).await.expect("a frame");
            let (kind, flags, on, _) = next.unwrap_or_else(|| panic!("ended after {answers} answers"));
            assert_ne!(kind, GOAWAY);
            is_answered |= kind == DATA && on == stream && flags & END_STREAM != 0;
            is_acknowledged |= kind == PING && flags == 1;
        }
        (answers, acknowledged) = (answers + 1, acknowledged + 1);
    }
    assert_eq!((answers, acknowledged), (150, 150));
}
