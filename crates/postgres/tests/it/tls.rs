//! Encrypted connections, with PostgreSQL's levels of trust, to a server with a certificate of its own making.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use everdure_core::{Backend, BackendError};
use everdure_embedded::Server;
use everdure_postgres::{PostgresBackend, PostgresOptions};
use everdure_testkit::conformance::fixture::until;
use tempfile::TempDir;

use super::rules::session;
use super::support::{majors, server};

/// A certificate for `localhost`, where the server's account can read the key and nobody else.
fn certificate(dir: &Path, server: &Server) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (dir.join("server.crt"), dir.join("server.key"));
    fs::write(&certificate, made.cert.pem()).expect("writing the certificate");
    fs::write(&key, made.signing_key.serialize_pem()).expect("writing the key");
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("our own directory");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("our own key");
    let owner = fs::metadata(server.data_dir()).expect("the server's data").uid();
    chown(&key, Some(owner), None).expect("giving the key to the server's account");
    (certificate, key)
}

async fn with_tls(dir: &TempDir) -> (Server, PathBuf) {
    let server = server(majors()[0]);
    let (certificate, key) = certificate(dir.path(), &server);
    let session = session(&server.url()).await;
    for (name, value) in [
        ("ssl_cert_file", certificate.display().to_string()),
        ("ssl_key_file", key.display().to_string()),
        ("ssl", "on".to_owned()),
    ] {
        session.batch_execute(&format!("alter system set {name} = '{value}'")).await.expect(name);
    }
    session.execute("select pg_reload_conf()", &[]).await.expect("reloading");
    until("the server speaks TLS", || async {
        session.query_one("show ssl", &[]).await.expect("a setting").get::<_, String>(0) == "on"
    })
    .await;
    (server, certificate)
}

async fn connect(url: &str) -> Result<PostgresBackend, BackendError> {
    let options = PostgresOptions::builder(url)?.listen(false).build()?;
    PostgresBackend::connect(options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_level_of_trust_means_what_postgresql_says() {
    let dir = TempDir::new().expect("a directory");
    let (server, certificate) = with_tls(&dir).await;
    let by_address = server.url();
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let root = format!("&sslrootcert={}", certificate.display());

    let backend = connect(&format!("{by_address}?sslmode=require")).await.expect("encrypted, whoever it is");
    backend.get_instances(vec![], false).await.expect("readable");
    let session = session(&by_address).await;
    let encrypted = "select count(*) from pg_stat_ssl s join pg_stat_activity a using (pid) \
                     where s.ssl and a.application_name = 'everdure'";
    assert!(session.query_one(encrypted, &[]).await.expect("readable").get::<_, i64>(0) > 0);

    connect(&format!("{by_name}?sslmode=verify-full{root}")).await.expect("the right name");
    connect(&format!("{by_address}?sslmode=verify-ca{root}")).await.expect("whatever its name");
    for (url, what) in [
        (format!("{by_address}?sslmode=verify-full{root}"), "another name"),
        (format!("{by_name}?sslmode=verify-full"), "an unknown authority"),
        (format!("{by_name}?sslmode=verify-ca"), "an unknown authority"),
    ] {
        let error = connect(&url).await.err().unwrap_or_else(|| panic!("connected: {what}"));
        assert!(error.to_string().contains("certificate"), "{what}: {error}");
    }
    let missing = connect(&format!("{by_name}?sslmode=verify-full&sslrootcert=/nowhere.crt")).await;
    let missing = missing.err().expect("there is no such file").to_string();
    assert!(missing.contains("/nowhere.crt"), "{missing}");
}
