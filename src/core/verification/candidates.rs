//! Finds the paths through a bundle on which every signature is valid.
//!
//! webpki builds paths upwards from the leaf and compares only names until it reaches an anchor. Many unsigned
//! certificates with the same name would keep it busy for seconds. This module follows the signatures down from the
//! anchors, once for all possible signer certificates. webpki then gets one path at a time.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use rustls::pki_types::TrustAnchor;
use webpki::EndEntityCert;

use super::budget::Budget;
use super::primitives::{contents, is_signed_by};
use crate::evidence::chain::Certificate;
use crate::evidence::signed::Signed;

/// Maximum number of certificates between the signer's and the root. webpki has the same limit.
const MAX_INTERMEDIATES: usize = 6;

/// How often the same subject may occur on a path. An authority that has changed its key may occur twice.
const MAX_OF_ONE_SUBJECT: usize = 2;

/// A certificate and its position in the graph of signatures.
struct Node<'c> {
    certificate: &'c Certificate,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    key_info: Vec<u8>,
    signed: Signed,
    /// The indexes of the anchors that signed it.
    anchors: Vec<usize>,
    /// The indexes of the certificates that signed it and that have a path to an anchor.
    issuers: Vec<usize>,
    /// The smallest number of certificates between it and an anchor; `None` if no anchor is reached.
    distance: Option<usize>,
}

/// The issuer of a certificate: an anchor or another certificate, with its index.
#[derive(Clone, Copy)]
enum IssuerRef {
    Anchor(usize),
    Certificate(usize),
}

/// The certificates of a bundle and the signatures between them.
pub(super) struct Candidates<'c> {
    nodes: Vec<Node<'c>>,
}

impl<'c> Candidates<'c> {
    /// Finds the signatures above `leaves`. Each pair of issuer and certificate is checked at most once, and only if
    /// their names can be part of a path from one of `leaves`.
    pub(super) fn above(
        leaves: &[&Certificate],
        all: &'c [Certificate],
        anchors: &[TrustAnchor<'_>],
        budget: &Budget,
    ) -> Self {
        let nodes = all.iter().filter_map(Node::of);
        let (kept, others) = nodes.partition(|node| leaves.contains(&node.certificate));
        let mut candidates = Self { nodes: kept };
        candidates.keep_named_above(others);
        candidates.follow(anchors, budget);
        candidates
    }

    /// Adds the certificates of `others` that a chain of names connects to a leaf. The issuers of a certificate keep
    /// their order.
    fn keep_named_above(&mut self, mut others: Vec<Node<'c>>) {
        let mut place = 0;
        while let Some(below) = self.nodes.get(place) {
            let (above, rest) = others.into_iter().partition(|node| node.subject == below.issuer);
            self.nodes.extend::<Vec<_>>(above);
            others = rest;
            place = place.saturating_add(1);
        }
    }

    /// Follows the signatures down from the anchors, the shortest paths first.
    fn follow(&mut self, anchors: &[TrustAnchor<'_>], budget: &Budget) {
        let is_named = |name: &[u8]| self.nodes.iter().any(|node| node.issuer == name);
        let ends = anchors.iter().enumerate().filter(|(_, anchor)| is_named(&anchor.subject));
        let mut issuers: Vec<_> = ends
            .map(|(place, anchor)| Issuer {
                above: IssuerRef::Anchor(place),
                subject: anchor.subject.to_vec(),
                key_info: anchor.subject_public_key_info.to_vec(),
                distance: 0,
            })
            .collect();
        let mut next = 0;
        while let Some(issuer) = issuers.get(next) {
            let mut reached = Vec::new();
            for (place, node) in self.nodes.iter_mut().enumerate() {
                if node.issuer == issuer.subject && is_signed_by(&node.signed, &issuer.key_info, budget) {
                    match issuer.above {
                        IssuerRef::Anchor(anchor) => node.anchors.push(anchor),
                        IssuerRef::Certificate(certificate) => node.issuers.push(certificate),
                    }
                    if node.distance.is_none() {
                        node.distance = Some(issuer.distance);
                        reached.push(node.as_issuer(place, issuer.distance.saturating_add(1)));
                    }
                }
            }
            issuers.extend(reached);
            next = next.saturating_add(1);
        }
    }

    /// Calls `consider` for every path from `leaf` to an anchor, until `consider` returns `Break`. Its arguments are
    /// the certificates without the anchor, and the anchor's index. At each certificate, the anchors come first. Then
    /// come the issuers, those with the shortest distance to an anchor first.
    pub(super) fn each_path(
        &self,
        leaf: &Certificate,
        mut consider: impl FnMut(&[&'c Certificate], usize) -> ControlFlow<()>,
    ) {
        let start = self.nodes.iter().position(|node| node.certificate == leaf);
        // A break only means that `consider` needs no further path.
        let _ = self.walk(&mut start.into_iter().collect(), &mut consider);
    }

    fn walk(
        &self,
        path: &mut Vec<usize>,
        consider: &mut dyn FnMut(&[&'c Certificate], usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(head) = self.on(path).last() else { return ControlFlow::Continue(()) };
        for anchor in &head.anchors {
            let certificates: Vec<_> = self.on(path).map(|node| node.certificate).collect();
            consider(&certificates, *anchor)?;
        }
        for above in &head.issuers {
            if self.may_follow(path, *above) {
                path.push(*above);
                let walked = self.walk(path, consider);
                path.pop();
                walked?;
            }
        }
        ControlFlow::Continue(())
    }

    fn on(&self, path: &[usize]) -> impl Iterator<Item = &Node<'c>> {
        path.iter().filter_map(|place| self.nodes.get(*place))
    }

    /// Whether a path through this certificate can reach an anchor and has no loop (RFC 4158 section 5.2).
    fn may_follow(&self, path: &[usize], above: usize) -> bool {
        let Some(node) = self.nodes.get(above) else { return false };
        let ends = node.distance.is_some_and(|left| path.len().saturating_add(left) <= MAX_INTERMEDIATES);
        let of_its_name: Vec<_> = self.on(path).filter(|other| other.subject == node.subject).collect();
        let is_loop = of_its_name.iter().any(|other| other.key_info == node.key_info);
        ends && !is_loop && of_its_name.len() < MAX_OF_ONE_SUBJECT
    }
}

/// A possible issuer, and its distance from an anchor.
struct Issuer {
    above: IssuerRef,
    subject: Vec<u8>,
    key_info: Vec<u8>,
    distance: usize,
}

impl<'c> Node<'c> {
    fn of(certificate: &'c Certificate) -> Option<Self> {
        let parsed = EndEntityCert::try_from(certificate.der()).ok()?;
        Some(Self {
            certificate,
            issuer: parsed.issuer().to_vec(),
            subject: parsed.subject().to_vec(),
            key_info: contents(&parsed.subject_public_key_info()).to_vec(),
            signed: Signed::parse(certificate.der()).ok()?,
            anchors: Vec::new(),
            issuers: Vec::new(),
            distance: None,
        })
    }

    fn as_issuer(&self, place: usize, distance: usize) -> Issuer {
        let (subject, key_info) = (self.subject.clone(), self.key_info.clone());
        Issuer { above: IssuerRef::Certificate(place), subject, key_info, distance }
    }
}
