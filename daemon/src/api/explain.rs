//! `Daemon.Explain`: may this user do that, which rule says so, what is left.

use tonic::Response;
use v6pod_proto::v1::{self, ActivateRequest};

use super::{Answer, Grpc, count};
use crate::{
    auth::Peer,
    policy::{Quota, Wish},
    service::{Error, Explanation},
};

impl Grpc {
    pub(super) async fn explained(
        &self,
        peer: &Peer,
        request: v1::ExplainRequest,
    ) -> Answer<v1::ExplainResponse> {
        let v1::ExplainRequest { network, name, address, uid } = request;
        let asked = ActivateRequest { network, name, address, ..ActivateRequest::default() };
        let wish = Wish::check(&asked).map_err(Error::from)?;
        let subject = match uid {
            Some(uid) if uid != peer.uid() && !peer.is_admin() => {
                return Err(Error::NotAnAdministrator.into());
            }
            Some(uid) if uid != peer.uid() => self.service.subject_of(uid).await?,
            _ => self.service.subject(peer).await?,
        };
        Ok(Response::new(message(self.service.explain(subject, &wish)?)))
    }
}

fn message(told: Explanation) -> v1::ExplainResponse {
    let text = |address: Option<String>| address.unwrap_or_default();
    v1::ExplainResponse {
        allowed: told.reason.is_none(),
        reason: text(told.reason),
        rule: text(told.origin.map(|origin| origin.to_string())),
        network: told.network.to_string(),
        name: text(told.name.map(|name| name.to_string())),
        reserved_address: text(told.reservation.map(|address| address.to_string())),
        own_prefix: text(told.own_prefix.map(|prefix| prefix.to_string())),
        uid: told.subject.uid,
        charged_uid: told.subject.account,
        attachments: told.left.map(|left| quota(left.attachments)),
        addresses: told.left.map(|left| quota(left.addresses)),
        activations: told.left.map(|left| quota(left.activations)),
        forbidden: count(told.forbidden),
    }
}

fn quota(quota: Quota) -> v1::Quota {
    v1::Quota {
        unlimited: quota.limit.is_none(),
        limit: quota.limit.unwrap_or_default(),
        used: quota.used,
        left: quota.left().unwrap_or_default(),
    }
}
