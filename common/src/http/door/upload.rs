//! A body that the handler reads as it arrives. Both ways go on at once: the answer may be made
//! from the body and begin before the body has ended.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::AsyncRead;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::answer::send;
use super::body::Body;
use super::connection::Connection;
use super::end::{End, broken, busy, cut_short, permit, refused_as};
use super::head::Head;
use super::limits::{PIECE_BYTES, PIECES_WAITING_MAX};
use super::wire;
use crate::http::Problem;
use crate::http::exchange::{Arriving, ReplyBody};
use crate::http::stream::Piece;

type Pieces = mpsc::Sender<Result<Piece, Problem>>;

pub async fn serve(connection: &mut Connection, head: Head) -> Result<(), End> {
    let full = || busy(Problem::new(503, "too many bodies are being read"));
    let permits = (permit(&connection.shared.uploads), permit(&connection.shared.requests));
    let (Some(_upload), Some(request)) = permits else { return Err(refused_as(&head, full())) };
    connection.invite(&head).await?;
    let (pieces, arriving) = mpsc::channel(PIECES_WAITING_MAX);
    let replied = connection.hand_on(&head, Arriving::Stream(arriving, Handle::current()), true);

    let (is_read, arrived) = (AtomicBool::new(false), AtomicU64::new(0));
    let Connection { shared, stream, buffer, .. } = connection;
    let (mut reader, writer) = stream.split();
    let upload = async {
        let body = Body::new(head.framing);
        let all = pump(&mut reader, buffer, body, &pieces, &arrived).await;
        is_read.store(all, Ordering::Relaxed);
    };
    let answer = async {
        let reply = replied.await.map_err(|_| refused_as(&head, broken()))?;
        // The worker is free again, however slowly the answer is taken.
        drop(request);
        let is_open_ended = matches!(reply.body, ReplyBody::Stream { is_chunked: false, .. });
        let stays = is_read.load(Ordering::Relaxed)
            && head.keeps_alive
            && !is_open_ended
            && !shared.is_stopping();
        let _stream = match &reply.body {
            ReplyBody::Bytes(_) => None,
            ReplyBody::Stream { .. } => match permit(&shared.streams) {
                None => return Err(refused_as(&head, full())),
                some => some,
            },
        };
        send(shared, writer.as_ref(), reply, &head, stays, &arrived).await?;
        Ok(stays)
    };
    let (mut upload, mut answer) = (std::pin::pin!(upload), std::pin::pin!(answer));
    let mut is_uploading = true;
    let stays = loop {
        tokio::select! {
            biased;
            () = &mut upload, if is_uploading => is_uploading = false,
            stays = &mut answer => break stays?,
        }
    };
    if stays { Ok(()) } else { Err(End::Unread) }
}

/// Gives the body to the handler, piece by piece, as fast as it takes them. True if all of it was
/// read. The handler gives up, by dropping its end, on a client that is too slow.
async fn pump(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    mut body: Body,
    pieces: &Pieces,
    arrived: &AtomicU64,
) -> bool {
    loop {
        let mut piece = Vec::new();
        if let Err(problem) = body.advance(buffer, &mut piece, PIECE_BYTES) {
            let _ = pieces.send(Err(problem)).await;
            return false;
        }
        if !piece.is_empty() && pieces.send(Ok(Piece::Data(piece))).await.is_err() {
            return false;
        }
        if body.is_done() {
            return pieces.send(Ok(Piece::End)).await.is_ok();
        }
        let more = tokio::select! {
            more = wire::read(reader, buffer) => more,
            () = pieces.closed() => return false,
        };
        if let Ok(count @ 1..) = more {
            arrived.fetch_add(count as u64, Ordering::Relaxed);
        } else {
            let _ = pieces.send(Err(cut_short())).await;
            return false;
        }
    }
}
