/// Why an address can't be listened on, for the operator.
package struct ListenError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Cause: Sendable, Equatable {
        case system(Errno)
        /// Another process accepts connections on the UNIX socket.
        case socketInUse
        /// The path of the UNIX socket names a file of another kind, which is not removed.
        case pathIsNotSocket
        case pathTooLong
        /// The descriptor that was handed over is not a listening stream socket.
        case notListening
    }

    package let address: String
    package let cause: Cause

    package init(address: String, cause: Cause) {
        self.address = address
        self.cause = cause
    }

    /// "cannot listen on 127.0.0.1:80: Address already in use"
    package var description: String {
        let reason =
            switch cause {
            case .system(let error): error.description
            case .socketInUse: "another process listens on this socket"
            case .pathIsNotSocket: "the path exists and is not a socket"
            case .pathTooLong: "the path is too long for a UNIX socket (107 octets at most)"
            case .notListening: "the descriptor is not a listening socket"
            }
        return "cannot listen on \(address): \(reason)"
    }
}
