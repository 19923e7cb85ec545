internal import CLinux

/// Accepts connections on one worker, in bounded bursts. Used on the worker's queue only.
///
/// When the process is out of descriptors, a reserved one is given up so that a waiting connection can be accepted
/// and closed at once rather than left hanging; then the listener rests.
package final class Listener: Channel {
    /// With the port the kernel chose when 0 was asked for.
    package let address: SocketAddress
    /// Owns each accepted socket, which is non-blocking.
    package var onAccept: ((Int32, SocketAddress) -> Void)?
    package private(set) var acceptedCount: UInt64 = 0
    /// Connections closed because the process had no descriptor for them.
    package private(set) var refusedCount: UInt64 = 0
    /// Bursts that an error of the kernel ended.
    package private(set) var failureCount: UInt64 = 0

    /// Set for a listener whose connections begin with TLS: it accepts nobody while many handshakes wait for their
    /// turn, and calls this once each time it comes to that. Connections wait in the kernel's backlog.
    package var onManyHandshakes: (() -> Void)?

    private let socket: ListeningSocket
    private var reserve: Int32 = -1
    private var isPaused = false
    private var isResting = false
    private var mayHaveMore = false
    private var isQueued = false
    private var waitsForHandshakes = false

    /// Listens on the worker. On an error the socket is still the caller's.
    package init(
        worker: Worker, socket: ListeningSocket, onAccept: @escaping (Int32, SocketAddress) -> Void
    ) throws(Errno) {
        self.socket = socket
        self.address = socket.address
        self.onAccept = onAccept
        super.init(worker: worker)
        try register(socket.descriptor, interest: .listenerInterest, isShared: true)
        reserve = Int32(clamping: cl_open_null())
    }

    /// Binds and listens on the worker.
    package convenience init(
        worker: Worker, address: SocketAddress, options: ListeningSocket.Options = .init(),
        onAccept: @escaping (Int32, SocketAddress) -> Void
    ) throws(ListenError) {
        let socket = try ListeningSocket.bind(address, options: options)
        do throws(Errno) {
            try self.init(worker: worker, socket: socket, onAccept: onAccept)
        } catch {
            socket.close()
            throw ListenError(address: address.description, cause: .system(error))
        }
    }

    /// Accepts nothing from here on; connections wait in the kernel's backlog.
    package func pause() {
        isPaused = true
    }

    package func resume() {
        isPaused = false
        if mayHaveMore { enqueue() }
    }

    /// Takes in what waits in the kernel's backlog, which its end would reset, and stops. Those who wait at a socket
    /// that was handed over are left to whoever gets it next.
    package func acceptWaitingAndClose() {
        guard isOpen else { return }
        guard !socket.isHandedOver else { return closeAndUnlink() }
        isPaused = false
        isResting = false
        mayHaveMore = true
        acceptBurst(atMost: Self.waitingMax, regardsHandshakes: false)
        closeAndUnlink()
    }

    /// The largest backlog that is asked for.
    private static let waitingMax = 4096

    /// Stops, and removes the UNIX socket's file if this listener made it.
    package func closeAndUnlink() {
        guard isOpen else { return }
        close()
        socket.unlinkFile()
    }

    package override func ready(_ events: ReadyEvents) {
        mayHaveMore = true
        enqueue()
    }

    package override func deadlinePassed() {
        isResting = false
        if reserve < 0 { reserve = Int32(clamping: cl_open_null()) }
        if mayHaveMore { enqueue() }
    }

    override func acceptTurn() {
        isQueued = false
        acceptBurst(atMost: worker.limits.acceptsPerBatch, regardsHandshakes: true)
    }

    override func discard() {
        onAccept = nil
        onManyHandshakes = nil
        if reserve >= 0 { _ = cl_close(reserve) }
        reserve = -1
    }

    private func enqueue() {
        guard !isQueued, isOpen else { return }
        isQueued = true
        worker.queueAccept(datum, withTLS: onManyHandshakes != nil)
    }

    private func acceptBurst(atMost countMax: Int, regardsHandshakes: Bool) {
        var storage = sockaddr_storage()
        var length: socklen_t = 0
        var left = countMax
        while mayHaveMore, !isPaused, !isResting, isOpen {
            guard left > 0, !regardsHandshakes || mayAcceptHandshakes() else { return enqueue() }
            left -= 1
            let result = cl_accept(descriptor, &storage, &length)
            if result >= 0 {
                acceptedCount += 1
                onAccept?(Int32(result), SocketAddress(&storage, length: length))
                continue
            }
            switch Int32(-result) {
            case EAGAIN: mayHaveMore = false
            // accept(2): errors already pending on the new connection, which is gone, are given here.
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP,
                ENETUNREACH,
                EPERM:
                break
            case EMFILE, ENFILE:
                refuseOne()
                rest()
            default:
                failureCount += 1
                rest()
            }
        }
    }

    private func mayAcceptHandshakes() -> Bool {
        guard let onManyHandshakes, worker.hasManyHandshakes else {
            waitsForHandshakes = false
            return true
        }
        if !waitsForHandshakes { onManyHandshakes() }
        waitsForHandshakes = true
        return false
    }

    private func refuseOne() {
        failureCount += 1
        guard reserve >= 0 else { return }
        _ = cl_close(reserve)
        var storage = sockaddr_storage()
        var length: socklen_t = 0
        let result = cl_accept(descriptor, &storage, &length)
        if result >= 0 {
            refusedCount += 1
            _ = cl_close(Int32(result))
        }
        reserve = Int32(clamping: cl_open_null())
    }

    private func rest() {
        isResting = true
        deadline = worker.now.adding(milliseconds: worker.limits.acceptRestMilliseconds)
    }
}
