internal import CLinux

/// Whether a peer has received what was written to it: asked of the kernel, from any thread, as long as the descriptor
/// is open.
package struct Delivery: Sendable {
    private let descriptor: Int32
    private let isTCP: Bool
    /// The count of octets, over the connection's life, up to which is asked.
    private let octets: UInt64

    /// Everything that was written to the channel so far, sent or still queued.
    package init(of channel: StreamChannel) {
        if let tls = channel.tls { channel.encryptAll(tls) }
        descriptor = channel.descriptor
        isTCP = channel.peerAddress.isIP
        octets = channel.octetsWritten + UInt64(channel.queuedOutputBytes)
    }

    /// TCP: every octet is acknowledged. UNIX sockets: the peer has read everything that was handed over.
    package var isComplete: Bool {
        if isTCP {
            let acknowledged = cl_acknowledged(descriptor)
            return acknowledged >= 0 && UInt64(acknowledged) >= octets
        }
        return cl_unacknowledged(descriptor) == 0
    }

    /// Whether it is this descriptor's.
    package func concerns(_ channel: StreamChannel) -> Bool { channel.descriptor == descriptor }
}

extension StreamChannel {
    /// Whether what was written up to this count of `payloadOctetsGiven` has not reached the peer whole, as far as is
    /// known: it never left, or is not acknowledged. Asked at the connection's end, while the descriptor is open.
    package final func isLost(upTo octets: UInt64) -> Bool {
        if payloadOctetsWritten < octets { return true }
        guard peerAddress.isIP else { return false }
        let acknowledged = cl_acknowledged(descriptor)
        guard acknowledged >= 0 else { return false }
        guard let tls else { return UInt64(acknowledged) < octets }
        // Where in what was encrypted an earlier answer ended is not known.
        guard payloadOctetsWritten == octets else { return false }
        return !tls.backlog.isEmpty || UInt64(acknowledged) < octetsWritten
    }
}
