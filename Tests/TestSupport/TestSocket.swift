import Foundation

/// Where a test connects to or listens at.
package enum Address: Sendable, Hashable, CustomStringConvertible {
    case ipv4(port: Int)
    case ipv6(port: Int)
    case unix(String)

    /// As proxy.conf writes a listener's address.
    package var description: String {
        switch self {
        case .ipv4(let port): "127.0.0.1:\(port)"
        case .ipv6(let port): "[::1]:\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    /// As proxy.conf writes an upstream server.
    package var serverURL: String {
        switch self {
        case .ipv4, .ipv6: "http://\(description)"
        case .unix: description
        }
    }

    package var port: Int {
        switch self {
        case .ipv4(let port), .ipv6(let port): port
        case .unix: 0
        }
    }

    package init?(_ text: some StringProtocol) {
        if text.hasPrefix("unix:") {
            self = .unix(String(text.dropFirst(5)))
        } else if let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]) {
            self = text.hasPrefix("[") ? .ipv6(port: port) : .ipv4(port: port)
        } else {
            return nil
        }
    }

    fileprivate var family: Int32 {
        switch self {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    fileprivate func withSocketAddress<Result>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
    ) rethrows -> Result {
        switch self {
        case .ipv4(let port):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            return try withRebound(&address, body)
        case .ipv6(let port):
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = in_port_t(port).bigEndian
            address.sin6_addr = in6addr_loopback
            return try withRebound(&address, body)
        case .unix(let path):
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8.prefix(107))) }
            return try withRebound(&address, body)
        }
    }

    private func withRebound<Structure, Result>(
        _ address: inout Structure, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
    ) rethrows -> Result {
        try withUnsafePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try body($0, socklen_t(MemoryLayout<Structure>.size))
            }
        }
    }
}

package enum SocketError: Error, Equatable, CustomStringConvertible {
    case refused
    case reset
    case timedOut(String)
    case system(String, Int32)

    package var description: String {
        switch self {
        case .refused: "connection refused"
        case .reset: "connection reset"
        case .timedOut(let what): "deadline passed: \(what)"
        case .system(let call, let code): "\(call): \(String(cString: strerror(code)))"
        }
    }
}

/// A stream socket whose every operation has a deadline. Never inherited by child processes.
package final class TestSocket: @unchecked Sendable {
    package let descriptor: Int32
    private let isClosed = Monitored(false)

    package init(adopting descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit {
        close()
    }

    package static func connect(to address: Address, until deadline: Deadline = .standard) throws -> TestSocket {
        let connection = TestSocket(adopting: socket(address.family, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0))
        // In blocking mode, so that a full backlog of a UNIX socket waits; SO_SNDTIMEO bounds it.
        var limit = timeval(tv_sec: max(1, Int(deadline.remainingSeconds)), tv_usec: 0)
        setsockopt(connection.descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let result = address.withSocketAddress { Foundation.connect(connection.descriptor, $0, $1) }
        if result != 0 {
            let code = errno
            if code == ECONNREFUSED || code == ENOENT { throw SocketError.refused }
            throw code == EINPROGRESS || code == EAGAIN
                ? SocketError.timedOut("connect to \(address)") : SocketError.system("connect", code)
        }
        connection.sendsAtOnce()
        return connection
    }

    package func sendsAtOnce() {
        var yes: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, 4)
    }

    /// Makes the kernel take little, so that a peer that reads slowly is felt.
    package func limitBuffers(_ octets: Int32) {
        var size = octets
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, 4)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4)
    }

    package func send(_ octets: [UInt8], until deadline: Deadline = .standard) throws {
        var sent = 0
        while sent < octets.count {
            let count = octets.withUnsafeBytes { buffer in
                Foundation.send(
                    descriptor, buffer.baseAddress! + sent, buffer.count - sent, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                try waitFor(POLLOUT, "send \(octets.count) octets, \(sent) sent", until: deadline)
            } else if errno == EPIPE || errno == ECONNRESET {
                throw SocketError.reset
            } else if errno != EINTR {
                throw SocketError.system("send", errno)
            }
        }
    }

    /// At least one octet, or none at the end of the stream.
    package func receive(atMost count: Int = 65536, until deadline: Deadline = .standard) throws -> [UInt8] {
        while true {
            var received = 0
            let octets = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
                received = recv(descriptor, buffer.baseAddress, count, Int32(MSG_DONTWAIT))
                initialized = max(0, received)
            }
            if received >= 0 { return octets }
            if errno == EAGAIN {
                try waitFor(POLLIN, "receive", until: deadline)
            } else if errno == ECONNRESET || errno == EPIPE {
                throw SocketError.reset
            } else if errno != EINTR {
                throw SocketError.system("recv", errno)
            }
        }
    }

    /// Whether the peer has sent nothing and closed nothing within the time.
    package func isSilent(for seconds: Double) -> Bool {
        (try? waitFor(POLLIN, "silence", until: .after(seconds))) == nil
    }

    private func waitFor(_ events: Int32, _ what: String, until deadline: Deadline) throws {
        while true {
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let count = Foundation.poll(&entry, 1, deadline.remainingMilliseconds)
            if count > 0 { return }
            if count == 0 || deadline.hasPassed { throw SocketError.timedOut(what) }
        }
    }

    package func shutdownWrite() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Wakes every thread that waits on the socket; the descriptor stays taken until `close`.
    package func interrupt() {
        isClosed.with { isClosed in
            // The number may belong to another socket by then.
            if !isClosed { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    /// The peer gets an RST.
    package func reset() {
        var value = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    package func close() {
        isClosed.with { isClosed in
            if !isClosed { Foundation.close(descriptor) }
            isClosed = true
        }
    }
}

/// A bound socket. It refuses connections until `listen`, and can refuse them again while it keeps its port.
package final class TestListener: @unchecked Sendable {
    package let address: Address
    private let socket = Monitored<TestSocket?>(nil)

    package init(at address: Address) throws {
        let bound = try Self.bind(address)
        if case .unix = address {
            self.address = address
        } else {
            var name = sockaddr_in6()
            var size = socklen_t(MemoryLayout<sockaddr_in6>.size)
            withUnsafeMutablePointer(to: &name) { pointer in
                _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    getsockname(bound.descriptor, $0, &size)
                }
            }
            // The port stands at the same place in both families.
            let port = Int(UInt16(bigEndian: name.sin6_port))
            self.address = address.family == AF_INET ? .ipv4(port: port) : .ipv6(port: port)
        }
        socket.with { $0 = bound }
    }

    private static func bind(_ address: Address) throws -> TestSocket {
        if case .unix(let path) = address { unlink(path) }
        let bound = TestSocket(adopting: Foundation.socket(address.family, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0))
        var yes: Int32 = 1
        setsockopt(bound.descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        guard address.withSocketAddress({ Foundation.bind(bound.descriptor, $0, $1) }) == 0 else {
            throw SocketError.system("bind \(address)", errno)
        }
        return bound
    }

    package func listen(backlog: Int32 = 1024) throws {
        try socket.with { socket in
            if socket == nil { socket = try Self.bind(address) }
            guard Foundation.listen(socket!.descriptor, backlog) == 0 else { throw SocketError.system("listen", errno) }
        }
    }

    /// Connections are refused from here on; the port stays ours.
    package func refuse() throws {
        try socket.with { socket in
            // Closed when the accepting thread has let go of it: its number must not be another's while that thread
            // may still use it.
            socket?.interrupt()
            socket = nil
            if case .unix = address { return }
            socket = try Self.bind(address)
        }
    }

    /// Nil when the listener was closed or refuses.
    package func accept() -> TestSocket? {
        guard let listening = socket.with({ $0 }) else { return nil }
        while true {
            let descriptor = accept4(listening.descriptor, nil, nil, O_CLOEXEC)
            if descriptor >= 0 {
                let connection = TestSocket(adopting: descriptor)
                connection.sendsAtOnce()
                return connection
            }
            if errno != EINTR && errno != ECONNABORTED { return nil }
        }
    }

    package func close() {
        socket.with { socket in
            socket?.interrupt()
            socket = nil
        }
        if case .unix(let path) = address { unlink(path) }
    }
}
