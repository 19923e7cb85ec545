/// Every bound of the transport. Counts are per worker.
package struct TransportLimits: Sendable, Equatable {
    /// Ready sockets taken from the kernel at once.
    package var eventsPerBatch = 512
    /// How long the worker waits for more before it hands its queue back to Dispatch. A worker that is woken through
    /// Dispatch pays for two more threads' turns, and may go on in another thread, with its own arena of the allocator.
    package var idlePollMilliseconds: Int32 = 100
    /// How long the worker keeps its queue under load. Who waits for the queue gets it after the batch all the same.
    package var queueHoldMilliseconds: UInt64 = 1000
    /// Octets asked of one `recv`. At most this much may stay unconsumed in a channel that keeps reading.
    package var readBytes = 64 * 1024
    /// Reads of one channel in one batch; a channel with more waits for the next batch.
    package var readsPerBatch = 4
    /// Connections one listener accepts in one batch.
    package var acceptsPerBatch = 8
    /// How long a listener rests after the process ran out of descriptors or memory.
    package var acceptRestMilliseconds: UInt64 = 100
    /// How long a batch works on the handshakes of TLS clients, at least on one, before it serves the others again.
    package var handshakeMicrosecondsPerBatch: UInt64 = 200
    /// So long after the last output to somebody who is connected, TLS newcomers get half of the time at most.
    package var trafficMilliseconds: UInt64 = 100
    /// Clients with a handshake that waits for its turn; while there are so many, listeners for TLS accept nobody.
    package var handshakesQueuedMax = 16
    /// Size of an output block, and how many free ones are kept.
    package var blockBytes = 16 * 1024
    package var blocksKeptMax = 256
    /// Pieces of one `sendmsg`.
    package var piecesPerSend = 64
    /// Descriptors in the poller.
    package var channelsMax = 1 << 20

    package init() {}
}
