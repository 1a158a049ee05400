//! Certificates.

use super::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{Read, Write};

const SERVER: &[u8] = include_bytes!("../../../../tests/fixtures/tls/server.pem");
const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/ca.pem");

/// An https server for `idp.example` and `127.0.0.1` that answers one request per connection, on a thread of its own.
fn serve() -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = CertificateDer::pem_slice_iter(SERVER).map(Result::unwrap).collect();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_slice(SERVER).unwrap());
    let config = Arc::new(config.unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut head = [0u8; 4096];
            // Fails where the client does not like our certificate.
            if stream.read(&mut head).is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecure");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    address
}

fn trusting(allow: &[&str]) -> OutboundConfig {
    OutboundConfig { ca_file: Some(AUTHORITY.into()), ..config(allow) }
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_of_the_right_name() {
    let address = serve();
    let url = |host: &str| format!("https://{host}:{}/", address.port());
    let here = Names::new(&[&["127.0.0.1"]]);
    let list = ["loopback", "idp.example", "other.example"];
    let trusting = Outbound::with_resolver(&trusting(&list), here.clone()).unwrap();
    assert_eq!(get(&trusting, &url("127.0.0.1")).await.unwrap().body, "secure");
    assert_eq!(get(&trusting, &url("idp.example")).await.unwrap().body, "secure");
    assert_eq!(failure(get(&trusting, &url("other.example")).await), Failure::Tls);
    let system = Outbound::with_resolver(&config(&list), here).unwrap();
    assert_eq!(failure(get(&system, &url("127.0.0.1")).await), Failure::Tls);
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_failure() {
    let plain = Peer::start(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        read_head(&mut stream).await;
    })
    .await;
    let url = format!("https://{}/", plain.address);
    assert_eq!(failure(get(&outbound(&["loopback"]), &url).await), Failure::Tls);
}

#[test]
fn a_bad_certificate_file_stops_the_start() {
    let with = |path: &std::path::Path| {
        Outbound::new(&OutboundConfig { ca_file: Some(path.to_owned()), ..OutboundConfig::default() }).err().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    assert!(matches!(with(&path), StartError::CaFile(_)));
    std::fs::write(&path, "no certificate").unwrap();
    assert!(matches!(with(&path), StartError::Certificates));
}
