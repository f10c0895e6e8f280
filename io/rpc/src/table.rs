//! The table of methods: what each one is called, takes, gives, and who may call it. Dispatch, OpenRPC and
//! metrics all come from it, so they cannot disagree.

use crate::{args::Args, context::Context, failure::Failure, http, methods};
use futures::future::BoxFuture;
use jsonrpsee::{Extensions, RpcModule, server::RegisterMethodError};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// What a method gives.
pub(crate) type Answer = Result<Box<RawValue>, Failure>;

/// Serializes what a method gives.
pub(crate) fn reply<T: Serialize + ?Sized>(value: &T) -> Answer {
    Ok(serde_json::value::to_raw_value(value)?)
}

/// One method.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    /// Its name, with namespace.
    pub(crate) name: &'static str,
    /// One sentence.
    pub(crate) summary: &'static str,
    /// Arguments in order.
    pub(crate) params: &'static [Param],
    /// Name of the result's schema, see [`crate::openrpc`].
    pub(crate) result: &'static str,
    /// Who may call it.
    pub(crate) access: Access,
    /// How it runs.
    pub(crate) run: Run,
}

/// One argument.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param {
    /// Its name.
    pub(crate) name: &'static str,
    /// Name of its schema, see [`crate::openrpc`].
    pub(crate) schema: &'static str,
    /// Whether it must be there.
    pub(crate) required: bool,
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everyone who reaches the port.
    Open,
    /// Who shows the node's token, if it has one, and only where the operator left control methods on. A browser sends
    /// no such header to a page's liking, and other users of the machine cannot read the token.
    Control,
    /// Only on chains whose genesis says `development`.
    Development,
}

/// How a method runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Run {
    /// At once: it reads memory or a few rows.
    Inline(fn(&Context, &mut Args) -> Answer),
    /// On a blocking worker: it executes code or reads many rows.
    Blocking(fn(&Context, &mut Args) -> Answer),
    /// It waits for the node.
    Async(fn(Arc<Context>, Args) -> BoxFuture<'static, Answer>),
    /// `eth_subscribe` and `eth_unsubscribe`, which need the connection.
    Subscription,
}

/// An argument that must be there.
pub(crate) const fn required(name: &'static str, schema: &'static str) -> Param {
    Param { name, schema, required: true }
}

/// An argument that may be missing or null.
pub(crate) const fn optional(name: &'static str, schema: &'static str) -> Param {
    Param { name, schema, required: false }
}

impl Method {
    /// A method that runs at once.
    pub(crate) const fn inline(
        name: &'static str,
        summary: &'static str,
        params: &'static [Param],
        result: &'static str,
        run: fn(&Context, &mut Args) -> Answer,
    ) -> Self {
        Self { name, summary, params, result, access: Access::Open, run: Run::Inline(run) }
    }

    /// A method that runs on a blocking worker.
    pub(crate) const fn blocking(
        name: &'static str,
        summary: &'static str,
        params: &'static [Param],
        result: &'static str,
        run: fn(&Context, &mut Args) -> Answer,
    ) -> Self {
        Self { name, summary, params, result, access: Access::Open, run: Run::Blocking(run) }
    }

    /// A method that waits for the node.
    pub(crate) const fn waiting(
        name: &'static str,
        summary: &'static str,
        params: &'static [Param],
        result: &'static str,
        run: fn(Arc<Context>, Args) -> BoxFuture<'static, Answer>,
    ) -> Self {
        Self { name, summary, params, result, access: Access::Open, run: Run::Async(run) }
    }

    /// The same method for operators only: who can read the node's token.
    pub(crate) const fn control(mut self) -> Self {
        self.access = Access::Control;
        self
    }

    /// The same method for development chains only.
    pub(crate) const fn development(mut self) -> Self {
        self.access = Access::Development;
        self
    }

    fn permit(&self, cx: &Context, extensions: &Extensions) -> Result<(), Failure> {
        match self.access {
            Access::Control if !cx.config.control => Err(Failure::Unsupported(format!(
                "{} is a control method, and this node does not serve those on this port",
                self.name
            ))),
            Access::Control
                if cx.config.control_token.is_some()
                    && extensions.get::<http::HasToken>().is_none() =>
            {
                Err(Failure::Unsupported(format!(
                    "{} needs the node's token: send `Authorization: Bearer` with what control.token in its \
                     directory says, or name the directory to `kette` with --home",
                    self.name
                )))
            }
            Access::Development if !cx.development() => Err(Failure::Unsupported(format!(
                "{} exists only on development chains (`development: true` under config.kette)",
                self.name
            ))),
            _ => Ok(()),
        }
    }
}

/// Returns every method, namespace by namespace.
pub(crate) fn all() -> impl Iterator<Item = &'static Method> {
    methods::TABLES.iter().flat_map(|table| table.iter())
}

/// Registers every method of the table.
///
/// # Errors
/// If a name stands in the table twice.
pub(crate) fn module(cx: &Arc<Context>) -> Result<RpcModule<Context>, RegisterMethodError> {
    let mut module = RpcModule::from_arc(cx.clone());
    for method in all() {
        match method.run {
            Run::Inline(run) => {
                module.register_method(method.name, move |params, cx, extensions| {
                    method.permit(cx, extensions)?;
                    run(cx, &mut Args::parse(params.as_str(), method.params)?)
                })?;
            }
            Run::Blocking(run) => {
                module.register_async_method(
                    method.name,
                    move |params, cx, extensions| async move {
                        method.permit(&cx, &extensions)?;
                        let mut args = Args::parse(params.as_str(), method.params)?;
                        cx.clone().blocking(move || run(&cx, &mut args)).await
                    },
                )?;
            }
            Run::Async(run) => {
                module.register_async_method(
                    method.name,
                    move |params, cx, extensions| async move {
                        method.permit(&cx, &extensions)?;
                        let mut args = Args::parse(params.as_str(), method.params)?;
                        args.submission = extensions.get().cloned();
                        run(cx, args).await
                    },
                )?;
            }
            Run::Subscription => {}
        }
    }
    crate::subscribe::register(&mut module)?;
    Ok(module)
}
