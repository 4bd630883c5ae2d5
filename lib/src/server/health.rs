//! `/livez`, `/readyz` and `/healthz`: named checks, in the format that Kubernetes' API server uses for its own.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

/// What a health check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Whether the process works. If it does not, restarting it is the remedy: `/livez` and its alias `/healthz`.
    Live,
    /// Whether the process should receive traffic now: `/readyz`, which includes the checks of [`Probe::Live`].
    Ready,
}

/// Returns `Ok` or the reason why the check fails. It runs on the server's task and must not block.
type Run = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The health checks of a server, in the order in which they were added.
#[derive(Default)]
pub(super) struct HealthChecks(Vec<(Probe, String, Run)>);

impl HealthChecks {
    pub(super) fn add(&mut self, probe: Probe, name: String, run: Run) {
        self.0.push((probe, name, run));
    }

    /// The response to `GET /{path}`, or `None` if that is not the path of a probe.
    pub(super) fn respond(&self, path: &str, query: Option<&str>) -> Option<Response<Body>> {
        let probe = match path {
            "livez" | "healthz" => Probe::Live,
            "readyz" => Probe::Ready,
            _ => return None,
        };
        let mut lines = String::new();
        let mut healthy = true;
        for (_, name, run) in self.0.iter().filter(|(of, ..)| *of == Probe::Live || probe == Probe::Ready) {
            let result = run();
            healthy &= result.is_ok();
            // Writing to a string cannot fail.
            let _infallible = match result {
                Ok(()) => writeln!(lines, "[+]{name} ok"),
                Err(reason) => writeln!(lines, "[-]{name} failed: {reason}"),
            };
        }
        let is_verbose = query.is_some_and(|query| {
            query.split('&').any(|pair| pair.split_once('=').map_or(pair, |(key, _)| key) == "verbose")
        });
        let (status, body) = match (healthy, is_verbose) {
            (true, false) => (StatusCode::OK, "ok\n".to_owned()),
            (true, true) => (StatusCode::OK, format!("{lines}{path} check passed\n")),
            (false, _) => (StatusCode::SERVICE_UNAVAILABLE, format!("{lines}{path} check failed\n")),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn get(checks: &HealthChecks, path: &str, query: Option<&str>) -> (u16, String) {
        let response = checks.respond(path, query).unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_failed_check_is_named_and_only_liveness_counts_for_livez() {
        let mut checks = HealthChecks::default();
        checks.add(Probe::Ready, "leader".into(), Box::new(|| Err("no leader known".into())));
        checks.add(Probe::Live, "disk".into(), Box::new(|| Ok(())));
        for query in [None, Some("verbose"), Some("verbose=0&x")] {
            let body = "[-]leader failed: no leader known\n[+]disk ok\nreadyz check failed\n".to_owned();
            assert_eq!(get(&checks, "readyz", query).await, (503, body));
        }
        for path in ["livez", "healthz"] {
            assert_eq!(get(&checks, path, Some("quiet")).await, (200, "ok\n".to_owned()));
            let body = format!("[+]disk ok\n{path} check passed\n");
            assert_eq!(get(&checks, path, Some("a=b&verbose")).await, (200, body));
        }
        assert!(checks.respond("livez/", None).is_none() && checks.respond("status", None).is_none());
    }

    #[tokio::test]
    async fn readiness_includes_liveness() {
        let mut checks = HealthChecks::default();
        assert_eq!(get(&checks, "readyz", None).await, (200, "ok\n".to_owned()));
        checks.add(Probe::Live, "disk".into(), Box::new(|| Err("a write hangs".into())));
        assert_eq!(get(&checks, "livez", None).await.0, 503);
        assert_eq!(get(&checks, "readyz", None).await.0, 503);
    }
}
