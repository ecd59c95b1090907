//! Health, and requests for what is not there: the other form of a path, endpoints that the fake does not model.

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use http::header::HOST;
use http::{Method, StatusCode, Uri};
use tower::ServiceExt;

use super::caller::Caller;
use super::reply;

/// Every endpoint of the real server: a method and a path per line.
const ENDPOINTS: &str = include_str!("endpoints.txt");

pub(super) async fn health(caller: Caller) -> Response {
    reply::json(caller.rest.health().await)
}

/// What the real server would do with a request that the fake has no handler for.
pub(super) async fn answer(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    match real_server(method, path).await {
        StatusCode::OK => reply::detail(
            501,
            &format!("the fake does not model {method} {path}, which a real server has"),
        ),
        StatusCode::METHOD_NOT_ALLOWED => reply::detail(405, "Method Not Allowed"),
        _ => match other_form(path) {
            Some(path) if real_server(method, &path).await != StatusCode::NOT_FOUND => {
                redirect(&request, &path)
            }
            _ => reply::detail(404, "Not Found"),
        },
    }
}

/// With the slash at its end if it has none, without it if it has one.
fn other_form(path: &str) -> Option<String> {
    match path.strip_suffix('/') {
        Some("") => None,
        Some(bare) => Some(bare.to_owned()),
        None => Some(format!("{path}/")),
    }
}

/// 307 to another path of this server, as an absolute address.
fn redirect(request: &Request, path: &str) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("127.0.0.1");
    let query = request
        .uri()
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    reply::redirect(307, &format!("http://{host}{path}{query}"))
}

/// How a router with all endpoints of the real server answers: 200, 404 or 405.
async fn real_server(method: &Method, path: &str) -> StatusCode {
    static ROUTER: OnceLock<Router> = OnceLock::new();
    let router = ROUTER.get_or_init(all_endpoints).clone();
    let Ok(uri) = path.parse::<Uri>() else {
        return StatusCode::NOT_FOUND;
    };
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri;
    router
        .oneshot(request)
        .await
        .unwrap_or_else(|never| match never {})
        .status()
}

fn all_endpoints() -> Router {
    ENDPOINTS
        .lines()
        .filter_map(|line| line.split_once(' '))
        .fold(Router::new(), |router, (method, path)| {
            let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
            let filter = MethodFilter::try_from(method).unwrap_or(MethodFilter::GET);
            router.route(
                &anonymous(path),
                on(filter, async || StatusCode::OK.into_response()),
            )
        })
}

/// The path with its parameters named after their places: where two endpoints share a path, they name them alike.
fn anonymous(path: &str) -> String {
    let segments = path
        .split('/')
        .enumerate()
        .map(|(place, segment)| match segment.strip_prefix('{') {
            Some(_) => format!("{{p{place}}}"),
            None => segment.to_owned(),
        });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_real_servers_endpoints_are_known() {
        for (method, path, status) in [
            (Method::GET, "/v1/agents/", StatusCode::OK),
            (Method::POST, "/v1/agents/agent-1/messages", StatusCode::OK),
            (Method::GET, "/v1/blocks/", StatusCode::OK),
            (Method::PUT, "/v1/agents/count", StatusCode::METHOD_NOT_ALLOWED),
            (Method::GET, "/v1/agents", StatusCode::NOT_FOUND),
            (Method::GET, "/v1/nothing", StatusCode::NOT_FOUND),
        ] {
            assert_eq!(real_server(&method, path).await, status, "{method} {path}");
        }
    }

    #[test]
    fn a_path_has_one_other_form() {
        assert_eq!(other_form("/v1/agents").as_deref(), Some("/v1/agents/"));
        assert_eq!(
            other_form("/v1/agents/count/").as_deref(),
            Some("/v1/agents/count")
        );
        assert_eq!(other_form("/"), None);
    }
}
