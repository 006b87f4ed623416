//! The operator API: what runs, what came in, what went out, and who may ask.
//!
//! [`routes`] is the one table of what there is and of the permission that each part
//! asks for; a route cannot be added without one. Reads of the store run on threads
//! that may block, so that a slow disk delays an operator and never a webhook.

mod alerts;
mod audit;
mod auth;
mod changes;
mod connections;
mod connectors;
mod dead_letters;
mod entities;
mod events;
mod fields;
mod follow;
mod health;
mod letter;
mod openapi;
mod page;
mod policy;
mod query;
mod replays;
mod sinks;
mod status;
mod stream;
mod view;
mod writes;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as AxumRequest, State};
use axum::handler::Handler as AxumHandler;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response as AxumResponse};
use axum::routing::{self, MethodRouter};
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper::{Request, Response};
use hyper_util::service::TowerToHyperService;
use tidegate_core::limits::CHANGE_STREAMS_MAX;
use tidegate_store::Reader;
use tokio::sync::{Semaphore, watch};

use self::auth::Access;
use super::percent;
use super::problem::{self, Problem};
use super::server::Handler;
use crate::host::Host;
use crate::tokens::Permission;

/// What every route works with.
#[derive(Clone, Debug)]
struct Api {
    host: Arc<Host>,
    stopping: watch::Receiver<bool>,
    /// One permit a stream of changes.
    streams: Arc<Semaphore>,
}

impl Api {
    /// Reads the store on a thread that may block.
    async fn read<T, E, F>(&self, read: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
        F: FnOnce(&Reader) -> Result<T, E> + Send + 'static,
    {
        let reader = self.host.reader.clone();
        let reading = tokio::task::spawn_blocking(move || read(&reader));
        match reading.await {
            Ok(read) => read.map_err(Into::into),
            Err(error) => Err(problem::unreadable(&error)),
        }
    }
}

/// One entry of the table.
struct Route {
    path: &'static str,
    /// In lower case, as `OpenAPI` has it.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the table is held against the document")
    )]
    method: &'static str,
    access: Access,
    answers: MethodRouter<Api>,
}

impl Route {
    fn get<H: AxumHandler<T, Api>, T: 'static>(path: &'static str, access: Access, to: H) -> Self {
        Self {
            path,
            method: "get",
            access,
            answers: routing::get(to),
        }
    }

    fn post<H: AxumHandler<T, Api>, T: 'static>(path: &'static str, access: Access, to: H) -> Self {
        Self {
            path,
            method: "post",
            access,
            answers: routing::post(to),
        }
    }

    fn put<H: AxumHandler<T, Api>, T: 'static>(path: &'static str, access: Access, to: H) -> Self {
        Self {
            path,
            method: "put",
            access,
            answers: routing::put(to),
        }
    }

    fn delete<H: AxumHandler<T, Api>, T: 'static>(
        path: &'static str,
        access: Access,
        to: H,
    ) -> Self {
        Self {
            path,
            method: "delete",
            access,
            answers: routing::delete(to),
        }
    }
}

/// Everything there is.
fn routes() -> Vec<Route> {
    const READ: Access = Access::Needs(Permission::Read);
    const CONSUME: Access = Access::Needs(Permission::Consume);
    const OPERATE: Access = Access::Needs(Permission::Operate);
    const ADMIN: Access = Access::Needs(Permission::Admin);
    const CONNECTION: &str = "/v1/connections/{connector}/{account}";
    const ENTITY: &str = "/v1/entities/{connector}/{account}/{kind}/{id}";
    vec![
        Route::get("/", Access::Open, page::show),
        Route::get("/healthz", Access::Open, health::alive),
        Route::get("/readyz", Access::Open, health::ready),
        Route::get(
            "/metrics",
            Access::OpenHere(Permission::Read),
            health::metrics,
        ),
        Route::get("/v1/openapi.json", Access::Open, openapi::show),
        Route::get("/v1/status", READ, status::show),
        Route::get("/v1/policy", READ, policy::show),
        Route::get("/v1/connectors", READ, connectors::list),
        Route::post("/v1/connectors/{name}/consent", ADMIN, connectors::consent),
        Route::get("/v1/connections", READ, connections::list),
        Route::get(CONNECTION, READ, connections::show),
        Route::put(CONNECTION, ADMIN, connections::put),
        Route::delete(CONNECTION, ADMIN, connections::delete),
        Route::get(
            "/v1/connections/{connector}/{account}/refusals",
            READ,
            connections::refusals,
        ),
        Route::post(
            "/v1/connections/{connector}/{account}/await-secret",
            ADMIN,
            connections::await_secret,
        ),
        Route::post(
            "/v1/connections/{connector}/{account}/pause",
            OPERATE,
            connections::pause,
        ),
        Route::post(
            "/v1/connections/{connector}/{account}/resume",
            OPERATE,
            connections::resume,
        ),
        Route::get("/v1/events", READ, events::list),
        Route::get("/v1/events/{id}", READ, events::show),
        Route::post("/v1/events/{id}/replay", OPERATE, events::replay),
        Route::get("/v1/dead-letters", READ, dead_letters::list),
        Route::get("/v1/dead-letters/counts", READ, dead_letters::counts),
        Route::get("/v1/dead-letters/{id}", READ, dead_letters::show),
        Route::post(
            "/v1/dead-letters/{id}/replay",
            OPERATE,
            dead_letters::replay,
        ),
        Route::post(
            "/v1/dead-letters/{id}/discard",
            OPERATE,
            dead_letters::discard,
        ),
        Route::get("/v1/replays", READ, replays::list),
        Route::post("/v1/replays", OPERATE, replays::begin),
        Route::get("/v1/replays/{id}", READ, replays::show),
        Route::get("/v1/sinks", READ, sinks::list),
        Route::post("/v1/sinks/{name}/pause", OPERATE, sinks::pause),
        Route::post("/v1/sinks/{name}/resume", OPERATE, sinks::resume),
        Route::get("/v1/alerts", READ, alerts::list),
        Route::get("/v1/audit", READ, audit::list),
        Route::get("/v1/changes", CONSUME, changes::list),
        Route::get("/v1/entities", CONSUME, entities::list),
        Route::get(ENTITY, CONSUME, entities::show),
    ]
}

fn router(api: &Api) -> Router {
    let mut router = Router::new();
    for Route {
        path,
        access,
        answers,
        ..
    } in routes()
    {
        let guard = middleware::from_fn_with_state((api.host.clone(), access), guard);
        router = router.route(path, answers.route_layer(guard));
    }
    router
        .fallback(async || problem::not_found("GET /v1/openapi.json describes what there is"))
        .method_not_allowed_fallback(async || problem::method_not_allowed())
        .with_state(api.clone())
}

async fn guard(
    State((host, access)): State<(Arc<Host>, Access)>,
    mut request: AxumRequest,
    next: Next,
) -> AxumResponse {
    match auth::check(&host, access, request.headers()) {
        Ok(who) => {
            if let Some(who) = who {
                request.extensions_mut().insert(who);
            }
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Answers operators and consumers.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    host: Arc<Host>,
    service: TowerToHyperService<Router>,
}

impl Operator {
    pub(super) fn new(host: Arc<Host>, stopping: watch::Receiver<bool>) -> Self {
        let streams = Arc::new(Semaphore::new(CHANGE_STREAMS_MAX));
        let api = Api {
            host: host.clone(),
            stopping,
            streams,
        };
        Self {
            host,
            service: TowerToHyperService::new(router(&api)),
        }
    }

    /// What holds for every route.
    fn admit(&self, request: &Request<Incoming>) -> Result<(), Problem> {
        auth::check_host(&self.host, request)?;
        match percent::decode(request.uri().path()) {
            Some(_) => Ok(()),
            None => Err(problem::bad_path()),
        }
    }
}

impl Handler for Operator {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        if let Err(problem) = self.admit(&request) {
            return problem.answer();
        }
        match self.service.call(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }
}

#[cfg(test)]
mod tests;
