import Glibc
import HTTP

/// Which route a request takes: the order is
/// 1. routes with the request's host before routes for every host;
/// 2. among these, `= /exact`, then the longest prefix, then `~ expression` in the order written.
///
/// A prefix matches whole segments: `/v1` matches `/v1`, `/v1/x` and `/v1;x`, not `/v10`.
package struct Router: ~Copyable {
    private struct Entry {
        var host: [UInt8]?
        var path: [UInt8]
        var route: Int
    }

    private var exact: [Entry] = []
    private var prefixes: [Entry] = []
    private var expressions: [(entry: Entry, compiled: UnsafeMutablePointer<regex_t>)] = []

    package init(_ routes: [RouteSettings]) {
        for (index, route) in routes.enumerated() {
            let host = route.host.map { Array($0.utf8) }
            switch route.pattern {
            case .exact(let path): exact.append(Entry(host: host, path: Array(path.utf8), route: index))
            case .prefix(let path): prefixes.append(Entry(host: host, path: Array(path.utf8), route: index))
            case .expression(let text):
                let compiled = UnsafeMutablePointer<regex_t>.allocate(capacity: 1)
                compiled.initialize(to: regex_t())
                // The configuration has compiled it before, so it is valid; an invalid one matches nothing.
                if regcomp(compiled, text, REG_EXTENDED | REG_NOSUB) == 0 {
                    expressions.append((Entry(host: host, path: [], route: index), compiled))
                } else {
                    compiled.deallocate()
                }
            }
        }
        // Stable: longer first, and of equal length the one with a host first.
        prefixes.sort { left, right in
            left.path.count != right.path.count
                ? left.path.count > right.path.count : left.host != nil && right.host == nil
        }
    }

    deinit {
        for (_, compiled) in expressions {
            regfree(compiled)
            compiled.deallocate()
        }
    }

    /// The index of the route, or nil.
    /// - Parameters:
    ///   - host: the request's authority; port and case do not matter.
    ///   - path: normalised.
    package func route(host: Span<UInt8>, path: Span<UInt8>) -> Int? {
        let name = Router.hostName(host)
        return match(path) { entry in entry.host.map { Router.isEqual($0, name) } ?? false }
            ?? match(path) { entry in entry.host == nil }
    }

    private func match(_ path: Span<UInt8>, where isCandidate: (Entry) -> Bool) -> Int? {
        for entry in exact
        where entry.path.count == path.count && isCandidate(entry) && Router.starts(path, with: entry.path) {
            return entry.route
        }
        for entry in prefixes where Router.starts(path, with: entry.path) && isCandidate(entry) {
            if entry.path.count == path.count || entry.path.last == UInt8(ascii: "/") { return entry.route }
            let next = path[entry.path.count]
            if next == UInt8(ascii: "/") || next == UInt8(ascii: ";") { return entry.route }
        }
        guard !expressions.isEmpty else { return nil }
        var text = [CChar](unsafeUninitializedCapacity: path.count + 1) { buffer, count in
            for index in path.indices { buffer[index] = CChar(bitPattern: path[index]) }
            count = path.count
        }
        text.append(0)
        for (entry, compiled) in expressions where isCandidate(entry) && regexec(compiled, text, 0, nil, 0) == 0 {
            return entry.route
        }
        return nil
    }

    private static func starts(_ path: Span<UInt8>, with prefix: [UInt8]) -> Bool {
        guard path.count >= prefix.count else { return false }
        for index in prefix.indices where path[index] != prefix[index] { return false }
        return true
    }

    /// Without the port.
    @_lifetime(copy authority)
    private static func hostName(_ authority: Span<UInt8>) -> Span<UInt8> {
        var end = authority.count
        while end > 0, authority[end - 1] >= UInt8(ascii: "0"), authority[end - 1] <= UInt8(ascii: "9") { end -= 1 }
        end = end > 0 && authority[end - 1] == UInt8(ascii: ":") ? end - 1 : authority.count
        // The name with a dot at its end is the same name (RFC 3986 §3.2.2).
        if end > 1, authority[end - 1] == UInt8(ascii: ".") { end -= 1 }
        return authority.extracting(0..<end)
    }

    /// `lowercase` is already in lower case.
    private static func isEqual(_ lowercase: [UInt8], _ name: Span<UInt8>) -> Bool {
        guard lowercase.count == name.count else { return false }
        for index in lowercase.indices {
            let octet = name[index]
            let folded = octet >= 0x41 && octet <= 0x5A ? octet | 0x20 : octet
            if folded != lowercase[index] { return false }
        }
        return true
    }
}
