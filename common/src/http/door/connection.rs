//! One connection from its first byte to its last: a head within its time, its body, a worker's
//! answer, and the next request; or a refusal and the end.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::answer::send;
use super::body::Body;
use super::budget::Share;
use super::census::Seat;
use super::end::{
    End, Refusal, broken, busy, cut_short, permit, refused, refused_as, too_many_streams, too_much,
    too_slow,
};
use super::head::{self, Finder, Framing, Head};
use super::limits::{HEAD_PIECE_BYTES, HELD_FREELY_BYTES, Limits};
use super::{Shared, upload, wire};
use crate::http::exchange::{Arriving, Exchange, Reply, ReplyBody};
use crate::http::print::{Asked, print};
use crate::http::server::panicked;
use crate::http::{BodyPlan, Problem, Response};

pub struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
    seat: Seat,
    /// What has arrived and was not used yet.
    pub(super) buffer: Vec<u8>,
    /// The memory for it.
    share: Share,
}

type Done<T> = std::result::Result<T, End>;

impl Connection {
    pub fn new(shared: Arc<Shared>, stream: TcpStream, peer: IpAddr, seat: Seat) -> Self {
        let share = shared.incoming.share(peer);
        Self { shared, stream, peer, seat, buffer: Vec::new(), share }
    }

    pub async fn run(mut self) {
        loop {
            let end = match self.head().await {
                Ok(head) => self.serve(head).await,
                Err(end) => Err(end),
            };
            match end {
                Ok(()) => {}
                Err(End::Gone | End::Finished) => return,
                Err(End::Unread) => return self.linger().await,
                Err(End::Refused(refusal)) => return self.refuse(*refusal).await,
            }
        }
    }

    /// The next request's head. While it is waited for, the seat can be taken away.
    async fn head(&mut self) -> Done<Head> {
        self.seat.waits();
        let head = self.wait_for_head().await;
        self.seat.works();
        head
    }

    async fn wait_for_head(&mut self) -> Done<Head> {
        if self.buffer.is_empty() {
            // Who waits for a request holds no memory for it.
            self.buffer = Vec::new();
        }
        let limits = self.shared.limits;
        let mut finder = Finder::default();
        let mut until = tokio::time::Instant::now() + limits.idle_time;
        let mut is_begun = false;
        loop {
            if !self.holds(0) {
                return Err(refused(too_much()));
            }
            // RFC 9112, 2.2: some clients send an empty line after a body.
            if !is_begun && self.buffer.starts_with(b"\r\n") {
                self.buffer.drain(..2);
            }
            if self.shared.is_stopping() {
                let problem = Problem::new(503, "the server is stopping");
                return Err(if self.buffer.is_empty() {
                    End::Gone
                } else {
                    refused(busy(problem))
                });
            }
            match finder.find(&self.buffer).map_err(refused)? {
                Some(end) => {
                    let head = head::parse(&self.buffer[..end]).map_err(refused)?;
                    self.buffer.drain(..end);
                    return Ok(head);
                }
                None if !is_begun && !self.buffer.is_empty() => {
                    is_begun = true;
                    until = tokio::time::Instant::now() + limits.head_time;
                }
                None => {}
            }
            let read = wire::read_some(&mut self.stream, &mut self.buffer, HEAD_PIECE_BYTES);
            let count = tokio::select! {
                biased;
                read = timeout_at(until, read) => match read {
                    Ok(read) => read?,
                    Err(_) if is_begun => return Err(refused(too_slow("the headers"))),
                    Err(_) => return Err(End::Gone),
                },
                () = self.seat.taken() => return Err(End::Gone),
                () = self.share.cut() => return Err(refused(too_much())),
            };
            if count == 0 {
                return Err(End::Gone);
            }
        }
    }

    /// Has there been memory for the buffer, and for so much besides?
    fn holds(&mut self, more: usize) -> bool {
        let bytes = self.buffer.capacity() + more;
        self.share.hold(if bytes <= HELD_FREELY_BYTES { 0 } else { bytes })
    }

    /// One request: its body, a worker's answer.
    async fn serve(&mut self, head: Head) -> Done<()> {
        if head.is_about_server {
            let allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
            let response = Response::empty(204).header("Allow", allow);
            let keeps_alive = head.keeps_alive && head.framing == Framing::None;
            return self.answer_here(response, &head, keeps_alive).await;
        }
        let plan = self.admit(&head)?;
        if let Some(BodyPlan::Stream) = plan {
            self.share.keep();
            return upload::serve(self, head).await;
        }
        let bytes = match plan {
            Some(BodyPlan::Gather { bytes_max }) => self.gather(&head, bytes_max).await?,
            Some(BodyPlan::Stream) | None => Vec::new(),
        };
        self.share.keep();
        let Some(permit) = permit(&self.shared.requests) else {
            let problem = busy(Problem::new(503, "too many requests are in progress"));
            let (request, _) = head.request();
            self.shared.observe(&request, problem.status, Instant::now());
            return self.answer_here(problem.into_response(), &head, head.keeps_alive).await;
        };
        let reply = self.hand_on(&head, Arriving::Gathered(bytes), plan.is_some());
        let reply = reply.await.map_err(|_| refused_as(&head, broken()))?;
        // The worker is free again and the body is gone, however slowly the answer is taken.
        drop(permit);
        self.holds(0);
        self.share.keep();
        let stays = head.keeps_alive && !self.shared.is_stopping();
        self.answer(reply, &head, stays).await
    }

    /// Asks the handler whether the body is to be read, and how. `None` if there is no body: then
    /// the worker asks.
    fn admit(&self, head: &Head) -> Done<Option<BodyPlan>> {
        if head.framing == Framing::None {
            return Ok(None);
        }
        let (request, problem) = head.request();
        let admitted = match problem {
            Some(problem) => Err(problem),
            None => catch_unwind(AssertUnwindSafe(|| self.shared.handler.admit(&request)))
                .unwrap_or_else(|panic| Err(panicked(panic.as_ref()))),
        };
        admitted.map(Some).map_err(|problem| End::Refused(Box::new(Refusal { problem, request })))
    }

    async fn gather(&mut self, head: &Head, max: usize) -> Done<Vec<u8>> {
        let refused = |problem| refused_as(head, problem);
        let too_long = || Problem::new(413, format!("the body is longer than {max} bytes"));
        let mut body = Body::new(head.framing);
        if body.declared().is_some_and(|length| length > max as u64) {
            return Err(refused(too_long()));
        }
        self.invite(head).await?;
        let begun = tokio::time::Instant::now();
        let mut bytes = Vec::new();
        loop {
            let room = (max + 1).saturating_sub(bytes.len());
            body.advance(&mut self.buffer, &mut bytes, room).map_err(refused)?;
            if bytes.len() > max {
                return Err(refused(too_long()));
            }
            if body.is_done() {
                return Ok(bytes);
            }
            if !self.holds(bytes.capacity()) {
                return Err(refused(too_much()));
            }
            let until = begun + Limits::time_for(self.shared.limits.body_time, bytes.len());
            let read = wire::read(&mut self.stream, &mut self.buffer);
            tokio::select! {
                biased;
                read = timeout_at(until, read) => match read {
                    Ok(Ok(0)) => return Err(refused(cut_short())),
                    Ok(read) => read?,
                    Err(_) => return Err(refused(too_slow("the body"))),
                },
                () = self.share.cut() => return Err(refused(too_much())),
            };
        }
    }

    /// Tells a client that waits for it to send its body.
    pub(super) async fn invite(&self, head: &Head) -> Done<()> {
        if head.expects_continue && self.buffer.is_empty() {
            let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
            wire::write(&self.shared, &self.stream, interim).await?;
        }
        Ok(())
    }

    /// Gives the request to `tiny_http`, and with it to a worker.
    pub(super) fn hand_on(
        &self,
        head: &Head,
        body: Arriving,
        is_admitted: bool,
    ) -> oneshot::Receiver<Reply> {
        let (reply, replied) = oneshot::channel();
        let (peer, is_old) = (self.peer, head.is_old);
        let exchange = Exchange { body, is_admitted, peer, is_old, reply };
        let ticket = self.shared.exchanges.put(exchange);
        self.shared.line.push(&head.wire, ticket);
        replied
    }

    async fn answer(&mut self, reply: Reply, head: &Head, stays: bool) -> Done<()> {
        let is_open_ended =
            matches!(&reply.body, ReplyBody::Stream { is_chunked, .. } if !is_chunked);
        let stays = stays && !is_open_ended;
        let _stream = match &reply.body {
            ReplyBody::Bytes(_) => None,
            ReplyBody::Stream { .. } => match permit(&self.shared.streams) {
                None => return Err(refused_as(head, busy(too_many_streams()))),
                some => some,
            },
        };
        send(&self.shared, &self.stream, reply, head, stays, &AtomicU64::new(0)).await?;
        match stays {
            true => Ok(()),
            // It did not know that this is the last answer, and may have sent the next request.
            false if head.keeps_alive => Err(End::Unread),
            false => Err(End::Finished),
        }
    }

    /// An answer that needs no worker.
    async fn answer_here(&mut self, response: Response, head: &Head, stays: bool) -> Done<()> {
        let (id, program) = (head.id.as_str(), self.shared.program);
        let (is_head, is_old) = (head.wants_no_body, head.is_old);
        let reply = print(response, Asked { id, program, is_head, is_old });
        match self.answer(reply, head, stays).await {
            Err(End::Finished) => Err(End::Unread),
            done => done,
        }
    }

    async fn refuse(mut self, refusal: Refusal) {
        let Refusal { problem, request } = refusal;
        // What it has sent is of no use any more.
        self.buffer = Vec::new();
        self.share.hold(0);
        let status = problem.status;
        crate::http::server::log_inside(&request, &problem);
        self.shared.observe(&request, status, Instant::now());
        let (id, program) = (request.id.as_str(), self.shared.program);
        let asked = Asked { id, program, is_head: false, is_old: false };
        let Reply { mut head, body } = print(problem.into_response(), asked);
        head.extend_from_slice(b"Connection: close\r\n\r\n");
        if let ReplyBody::Bytes(bytes) = body {
            head.extend_from_slice(&bytes);
        }
        if wire::write(&self.shared, &self.stream, &head).await.is_ok() {
            self.linger().await;
        }
    }

    /// Lets the client read the last answer before the connection closes.
    async fn linger(&mut self) {
        self.seat.waits();
        tokio::select! {
            () = wire::linger(&mut self.stream) => {}
            () = self.seat.taken() => {}
        }
    }
}
