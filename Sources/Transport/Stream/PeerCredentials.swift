internal import CLinux

/// Who connected a UNIX socket, by the kernel's word.
package struct PeerCredentials: Sendable, Equatable {
    package var userID: UInt32
    package var processID: UInt32

    /// Nil where the channel is no UNIX socket, or the kernel does not say.
    package init?(of channel: StreamChannel) {
        guard !channel.peerAddress.isIP else { return nil }
        let result = cl_peer_credentials(channel.descriptor)
        guard result >= 0 else { return nil }
        userID = UInt32(truncatingIfNeeded: result >> 32)
        processID = UInt32(truncatingIfNeeded: result)
    }
}
