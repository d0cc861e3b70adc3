//! Everything that a stranger can use up here, and how much of it there is.

use std::time::Duration;

/// What the door allows. Times and counts that tests shorten; sizes are constants below.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections in all. A newcomer beyond it takes the place of the one that has waited longest
    /// without a request; if all are busy it is told 503.
    pub connections_max: usize,
    /// Of one address (of one /64 network in IPv6), by the same rule: a quarter of all, so that no
    /// single machine can take all places, and a proxy in front has enough.
    pub connections_per_address_max: usize,
    /// Requests in a worker's hands or waiting for one. Beyond it: 503. Answers that are being taken
    /// are not among them: who reads slowly must not keep others from being answered.
    pub requests_max: usize,
    /// From the first byte of a head to its last. Beyond it: 408.
    pub head_time: Duration,
    /// A connection without a request is kept so long.
    pub idle_time: Duration,
    /// For a body to be gathered, besides a second for each [`BYTES_PER_SECOND_MIN`] that have
    /// come. Beyond it: 408.
    pub body_time: Duration,
    /// For an answer, or a piece of a streamed one, to be taken, besides a second for each
    /// [`BYTES_PER_SECOND_MIN`] that were. Beyond it the connection is cut.
    pub write_time: Duration,
}

impl Limits {
    pub const DEFAULT: Self = Self {
        connections_max: 10_000,
        connections_per_address_max: 2_500,
        requests_max: 512,
        head_time: Duration::from_secs(10),
        idle_time: Duration::from_secs(60),
        body_time: Duration::from_secs(10),
        write_time: Duration::from_secs(20),
    };

    /// As many connections as are wanted, and a quarter of them for one address.
    #[must_use]
    pub fn connections(self, connections_max: usize) -> Self {
        let connections_per_address_max = connections_max.div_ceil(4);
        Self { connections_max, connections_per_address_max, ..self }
    }

    /// The time for so many bytes: `base`, and what the slowest client may take for each byte.
    pub(super) fn time_for(base: Duration, bytes: usize) -> Duration {
        base + Duration::from_secs((bytes / BYTES_PER_SECOND_MIN) as u64)
    }
}

/// Who sends or takes fewer bytes in a second is too slow. A bad mobile connection has more.
pub const BYTES_PER_SECOND_MIN: usize = 8 * 1024;

/// The longest head: request line and headers. Beyond it: 431.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// The most headers. Beyond it: 431.
pub const HEADERS_MAX: usize = 100;

/// The longest path and query. Beyond it: 414.
pub const URL_BYTES_MAX: usize = 16 * 1024;

/// Memory for all that has arrived and waits: long heads, bodies, pipelines. One address may have a
/// quarter. Beyond it whoever has held longest without being whole is told 503.
pub const INCOMING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a connection may always hold besides: most heads, and most bodies, are no longer.
pub const HELD_FREELY_BYTES: usize = 4 * 1024;

/// Memory for answers that are not taken at once, by the same rule: beyond it whoever has taken
/// longest is cut off. Pieces of streams do not count: they are one for each of [`STREAMS_MAX`].
pub const OUTGOING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Streamed bodies at once, since each holds a worker. Beyond it: 503.
pub const UPLOADS_MAX: usize = 16;

/// Streamed answers at once. A slow reader of one holds its place and no thread. Beyond it: 503.
pub const STREAMS_MAX: usize = 128;

/// Threads that make pieces of streamed answers: twice the uploads, since an answer made from an
/// upload waits for it.
pub const STREAM_THREADS: usize = 2 * UPLOADS_MAX;

/// Bytes read from a socket at once while a head is waited for: a pipeline stays at the client.
pub const HEAD_PIECE_BYTES: usize = 8 * 1024;

/// Bytes of a body read from a socket, or sent as a piece of a streamed answer, at once.
pub const PIECE_BYTES: usize = 64 * 1024;

/// Pieces of a streamed body that wait for the handler; then the client has to.
pub const PIECES_WAITING_MAX: usize = 2;

/// The size line of a chunk, with its extensions.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;

/// What may follow the last chunk.
pub const TRAILERS_BYTES_MAX: usize = 4 * 1024;

/// After a refusal the client's bytes are read and dropped for so long, and so many: closing at
/// once would reset the connection, and the answer would be lost.
pub const LINGER_TIME: Duration = Duration::from_secs(2);
pub const LINGER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the kernel keeps of answers that are not taken yet, per connection.
pub const SEND_BUFFER_BYTES: u32 = 256 * 1024;

/// Connections that the kernel holds until they are accepted, so that a burst finds room.
pub const BACKLOG: u32 = 4096;

/// When no descriptor is left: how many waiting connections make room.
pub const EVICTED_AT_ONCE: usize = 16;

/// And how long the door rests when none could.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How many of those that waited longest are looked at for one of a full address.
pub const EVICTION_SCAN_MAX: usize = 256;

/// Descriptors that are left to the rest of the program: a database reader for each worker, of two
/// or three descriptors, spooled uploads, broker, logs.
pub const DESCRIPTORS_KEPT: usize = 512;

/// When a client that was told 503 should come again.
pub const RETRY_AFTER_SECONDS: &str = "1";

/// That the door was full is said in the log this often.
pub const SAY_AGAIN_AFTER: Duration = Duration::from_secs(60);
