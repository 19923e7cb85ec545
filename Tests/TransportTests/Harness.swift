import CLinux
import Glibc
import Transport

/// A started worker, and what tests do with it.
final class Harness: Sendable {
    let worker: Worker

    init(limits: TransportLimits = TransportLimits()) throws {
        worker = try Worker(index: 0, limits: limits)
        worker.start()
    }

    func stop() {
        worker.stop()
    }

    /// Serves each accepted connection with a channel that `make` gives.
    @discardableResult
    func listen<Channel: StreamChannel>(
        on address: SocketAddress = .v4(0x7F00_0001, port: 0), _ make: @escaping @Sendable (Worker) -> Channel,
        adopted: @escaping @Sendable (Channel) -> Void = { _ in }
    ) throws -> SocketAddress {
        try worker.performAndWait {
            let worker = worker
            return try Listener(worker: worker, address: address) { descriptor, peer in
                let channel = make(worker)
                try? channel.adopt(descriptor: descriptor, peer: peer)
                adopted(channel)
            }.address
        }
    }
}

/// A list that threads share; waiting blocks on a semaphore.
final class Recorder<Value: Sendable>: Sendable {
    private let values = Locked<[Value]>([])
    private let semaphore = Semaphore()

    func append(_ value: Value) {
        values.withLock { $0.append(value) }
        semaphore.post()
    }

    var all: [Value] { values.withLock { $0 } }

    /// Waits until there is another value since the last call. A test that waits in vain ends the run: nothing can
    /// interrupt it.
    func next() -> Value {
        guard semaphore.wait(seconds: 40) else {
            fatalError("nothing came after \(all.suffix(9).map { "\($0)".prefix(200) })")
        }
        return values.withLock { $0[semaphore.taken() - 1] }
    }
}

/// A POSIX semaphore.
final class Semaphore: @unchecked Sendable {
    private let raw: UnsafeMutablePointer<sem_t>
    private let count = Locked(0)

    init() {
        raw = .allocate(capacity: 1)
        sem_init(raw, 0, 0)
    }

    deinit {
        sem_destroy(raw)
        raw.deallocate()
    }

    func post() { sem_post(raw) }

    /// False when nothing was posted for so long.
    @discardableResult
    func wait(seconds: Int = 40) -> Bool {
        var end = timespec()
        clock_gettime(CLOCK_REALTIME, &end)
        end.tv_sec += seconds
        while sem_timedwait(raw, &end) != 0 {
            guard errno == EINTR else { return false }
        }
        count.withLock { $0 += 1 }
        return true
    }

    func taken() -> Int { count.withLock { $0 } }
}

/// The other end of a connection: a plain blocking socket.
final class BlockingSocket: Sendable {
    let descriptor: Int32

    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    init(connectedTo address: SocketAddress, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(address.family, Int32(SOCK_STREAM.rawValue), 0)
        if let receiveBuffer { _ = cl_receive_buffer(descriptor, receiveBuffer) }
        let result = address.withSocketAddress { cl_connect(descriptor, $0, $1) }
        guard result >= 0 else { throw TestFailure(text: "connect: \(-result)") }
    }

    deinit {
        Glibc.close(descriptor)
    }

    func send(_ octets: [UInt8]) throws {
        var sent = 0
        while sent < octets.count {
            let n = octets.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard n > 0 else { throw TestFailure(text: "send: \(errno)") }
            sent += n
        }
    }

    /// Exactly this many octets, fewer when the peer ends before.
    func receive(count: Int) throws -> [UInt8] {
        var octets = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            let n = octets.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + got, count - got, 0) }
            if n == 0 { break }
            guard n > 0 else { throw TestFailure(text: "recv: \(errno)") }
            got += n
        }
        return Array(octets[..<got])
    }

    func receiveAll() throws -> [UInt8] {
        var all: [UInt8] = []
        while case let part = try receive(count: 65536), !part.isEmpty { all += part }
        return all
    }

    func shutdownWrite() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Closes with RST.
    func reset() {
        _ = cl_linger_reset(descriptor)
    }
}

struct TestFailure: Error {
    let text: String
}

/// Sends back what comes, and FIN for FIN.
final class EchoChannel: StreamChannel {
    override func received(_ octets: Span<UInt8>) -> Int {
        write(octets)
        return octets.count
    }

    override func receivedEnd() {
        closeAfterFlush()
    }
}

/// Tells what it is called with; what it does is given by the test.
final class ProbeChannel: StreamChannel {
    enum Event: Sendable, Equatable {
        case received([UInt8])
        case end
        case failed(Errno)
        case drained
        case connected
        case deadline
        case peerClosed
        case closed
    }

    private let onEvent: (Event) -> Void
    /// Gives what is consumed of the octets offered.
    var consume: (ProbeChannel, [UInt8]) -> Int = { $1.count }
    var act: (ProbeChannel, Event) -> Void = { _, _ in }

    init(worker: Worker, _ onEvent: @escaping (Event) -> Void) {
        self.onEvent = onEvent
        super.init(worker: worker)
    }

    private func note(_ event: Event) {
        onEvent(event)
        act(self, event)
    }

    override func received(_ octets: Span<UInt8>) -> Int {
        let array = octets.withUnsafeBufferPointer { Array($0) }
        note(.received(array))
        return consume(self, array)
    }
    override func receivedEnd() { note(.end) }
    override func failed(_ error: Errno) { note(.failed(error)) }
    override func outputDrained() { note(.drained) }
    override func connected() { note(.connected) }
    override func deadlinePassed() { note(.deadline) }
    override func peerClosedWhilePaused() { note(.peerClosed) }
    override func closed() { note(.closed) }
}
