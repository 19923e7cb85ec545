import Foundation

/// What the kernel says of IPv4 TCP sockets (proc(5), /proc/net/tcp).
package enum KernelSockets {
    package enum State: String {
        /// Also of connections that nobody has accepted yet.
        case established = "01"
        /// The peer has ended its side, and nobody has closed ours.
        case closeWait = "08"
    }

    /// How many of this machine's sockets are in a state, of those with these ports.
    package static func count(_ state: State, localPort: Int? = nil, remotePort: Int? = nil) throws -> Int {
        // Read to its end: it is given in pieces, and has no size.
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/net/tcp"))
        let table = String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
        var found: Set<[Substring]> = []
        for line in table.split(separator: "\n").dropFirst() {
            let columns = line.split(separator: " ")
            guard columns.count > 3, columns[3] == state.rawValue, isPort(localPort, of: columns[1]),
                isPort(remotePort, of: columns[2])
            else { continue }
            // While it is read, one that is listed already may move and be listed again.
            found.insert([columns[1], columns[2]])
        }
        return found.count
    }

    private static func isPort(_ port: Int?, of address: Substring) -> Bool {
        port.map { Int(address.suffix(4), radix: 16) == $0 } ?? true
    }
}
