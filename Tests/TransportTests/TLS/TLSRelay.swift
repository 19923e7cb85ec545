import CLinux
import Glibc
import TestSupport
import Transport

/// Passes octets between a client and a server, in pieces that the test chooses. Serves connections one by one.
final class SplittingRelay: Sendable {
    private let listener: PlainListener
    private let server: SocketAddress
    private let piece: @Sendable (Int) -> Int
    private let change: @Sendable (Bool, Int, inout [UInt8]) -> Void

    var address: SocketAddress { listener.address }

    /// - Parameters:
    ///   - piece: gives how many of the octets at hand go on at once.
    ///   - change: may alter them, told whether they go to the server, and how many went before.
    init(
        to server: SocketAddress, piece: @escaping @Sendable (Int) -> Int,
        change: @escaping @Sendable (_ isUpwards: Bool, _ position: Int, inout [UInt8]) -> Void = { _, _, _ in }
    ) throws {
        self.change = change
        listener = try PlainListener()
        self.server = server
        self.piece = piece
    }

    /// Serves one connection to its end, on threads of its own.
    func serve() {
        startThread { [self] in
            guard let client = try? listener.accept(), let target = try? BlockingSocket(connectedTo: server) else {
                return
            }
            _ = cl_nodelay(client.descriptor)
            _ = cl_nodelay(target.descriptor)
            startThread { [self] in pump(from: target, to: client, isUpwards: false) }
            pump(from: client, to: target, isUpwards: true)
        }
    }

    private func pump(from source: BlockingSocket, to target: BlockingSocket, isUpwards: Bool) {
        var position = 0
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(source.descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            var start = 0
            while start < count {
                let n = min(max(1, piece(count - start)), count - start)
                var octets = Array(buffer[start..<(start + n)])
                change(isUpwards, position, &octets)
                position += n
                guard (try? target.send(octets)) != nil else { return }
                start += n
            }
        }
        target.shutdownWrite()
    }
}

/// Runs on a new thread.
func startThread(_ body: @escaping @Sendable () -> Void) {
    let box = Unmanaged.passRetained(ThreadBody(body))
    var thread = pthread_t()
    pthread_create(
        &thread, nil,
        { raw in
            Unmanaged<ThreadBody>.fromOpaque(raw!).takeRetainedValue().body()
            return nil
        }, box.toOpaque())
    pthread_detach(thread)
}

private final class ThreadBody: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}
