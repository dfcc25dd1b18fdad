//! The contract's methods, in less room than generated clients take.
//!
//! A generated client has all of tonic's machinery once for each method, some ten kilobytes. Here it exists
//! once, for messages that are bytes already; each method adds no more than its two types.

use std::marker::PhantomData;

use prost::{
    Message,
    bytes::{Buf, BufMut as _},
};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
};
use v6pod_proto::v1;

use crate::channel::Channel;

/// A method that takes `Q` and answers `A`.
#[derive(Debug)]
pub struct Method<Q, A> {
    path: &'static str,
    types: PhantomData<fn(Q) -> A>,
}

impl<Q, A> Method<Q, A> {
    const fn new(path: &'static str) -> Self {
        Self { path, types: PhantomData }
    }
}

/// `Attachments.Activate`
pub const ACTIVATE: Method<v1::ActivateRequest, v1::ActivateResponse> =
    Method::new("/v6pod.v1.Attachments/Activate");
/// `Attachments.Deactivate`
pub const DEACTIVATE: Method<v1::DeactivateRequest, v1::DeactivateResponse> =
    Method::new("/v6pod.v1.Attachments/Deactivate");
/// `Attachments.Get`
pub const GET: Method<v1::GetRequest, v1::GetResponse> = Method::new("/v6pod.v1.Attachments/Get");
/// `Attachments.List`
pub const LIST: Method<v1::ListRequest, v1::ListResponse> = Method::new("/v6pod.v1.Attachments/List");
/// `Attachments.Check`
pub const CHECK: Method<v1::CheckRequest, v1::CheckResponse> = Method::new("/v6pod.v1.Attachments/Check");
/// `Networks.Get`
pub const NETWORK: Method<v1::NetworksGetRequest, v1::NetworksGetResponse> =
    Method::new("/v6pod.v1.Networks/Get");
/// `Daemon.Status`
pub const STATUS: Method<v1::StatusRequest, v1::StatusResponse> = Method::new("/v6pod.v1.Daemon/Status");

/// Calls a method.
pub async fn call<Q: Message, A: Message + Default>(
    channel: &Channel,
    method: Method<Q, A>,
    request: &Q,
) -> Result<A, Status> {
    let answer = exchange(channel.clone(), method.path, request.encode_to_vec()).await?;
    A::decode(answer.as_slice()).map_err(|error| Status::internal(error.to_string()))
}

async fn exchange(channel: Channel, path: &'static str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let path = PathAndQuery::from_static(path);
    Ok(client.unary(Request::new(message), path, Plain).await?.into_inner())
}

/// Messages as bytes.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}
