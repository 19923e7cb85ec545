internal import CLinux

/// Why a name has no addresses.
package enum ResolveError: Error, Sendable, Equatable, CustomStringConvertible {
    case notFound
    /// The name server did not answer; a later attempt may succeed.
    case temporary
    /// Too many lookups wait already.
    case busy
    case other(code: Int32)

    package var description: String {
        switch self {
        case .notFound: "the name has no addresses"
        case .temporary: "the name server does not answer"
        case .busy: "too many lookups are waiting"
        case .other(let code): gai_strerror(code).map { String(cString: $0) } ?? "resolver error \(code)"
        }
    }
}

/// Looks names up (getaddrinfo) on a blocking queue, one lookup per name at a time. Any thread.
package final class Resolver: Sendable {
    package typealias Answer = Result<[SocketAddress], ResolveError>
    /// Blocks until it has the answer.
    package typealias Lookup = @Sendable (_ host: String, _ port: UInt16) -> Answer

    struct Name: Hashable, Sendable {
        let host: String
        let port: UInt16
    }

    struct Waiter: Sendable {
        let worker: Worker
        let deliver: @Sendable (Answer) -> Void
    }

    private let queue: BlockingQueue
    private let lookup: Lookup
    /// Who waits for each name that is being looked up.
    private let waiters = Locked<[Name: [Waiter]]>([:])

    package init(queue: BlockingQueue, lookup: @escaping Lookup = Resolver.systemLookup) {
        self.queue = queue
        self.lookup = lookup
    }

    /// Looks the name up, and delivers the answer on the worker, later. A numeric address (IPv6 without brackets) is
    /// answered too.
    package func resolve(
        host: String, port: UInt16, on worker: Worker, _ deliver: @escaping @Sendable (Answer) -> Void
    ) {
        if let address = SocketAddress.ip(host, port: port) { return worker.post { deliver(.success([address])) } }
        let name = Name(host: host, port: port)
        let isFirst = waiters.withLock { waiters in
            waiters[name, default: []].append(Waiter(worker: worker, deliver: deliver))
            return waiters[name]?.count == 1
        }
        guard isFirst else { return }
        if !queue.submit({ [self] in finish(name, lookup(host, port)) }) { finish(name, .failure(.busy)) }
    }

    private func finish(_ name: Name, _ answer: Answer) {
        let done = waiters.withLock { $0.removeValue(forKey: name) ?? [] }
        for waiter in done { waiter.worker.post { waiter.deliver(answer) } }
    }

    /// getaddrinfo(3), in its order, without repetitions; never an empty success.
    package static let systemLookup: Lookup = { host, port in
        var list: UnsafeMutablePointer<addrinfo>?
        let code = cl_getaddrinfo(host, String(port), &list)
        defer { if let list { freeaddrinfo(list) } }
        guard code == 0 else { return .failure(error(code)) }
        var addresses: [SocketAddress] = []
        var entry = list
        while let info = entry?.pointee {
            entry = info.ai_next
            guard let raw = info.ai_addr else { continue }
            var storage = sockaddr_storage()
            withUnsafeMutableBytes(of: &storage) { out in
                out.copyMemory(from: UnsafeRawBufferPointer(start: raw, count: min(out.count, Int(info.ai_addrlen))))
            }
            let address = SocketAddress(&storage, length: info.ai_addrlen)
            if address.isIP, !addresses.contains(address) { addresses.append(address) }
        }
        return addresses.isEmpty ? .failure(.notFound) : .success(addresses)
    }

    private static func error(_ code: Int32) -> ResolveError {
        switch code {
        // EAI_NODATA is −5; glibc declares it under _GNU_SOURCE only.
        case EAI_NONAME, -5: .notFound
        case EAI_AGAIN: .temporary
        default: .other(code: code)
        }
    }
}
