internal import CLinux

/// An error number of the kernel.
public struct Errno: Error, Hashable, Sendable, CustomStringConvertible {
    package let number: Int32

    package init(_ number: Int32) {
        self.number = number
    }

    /// From the negative result of a shim in `CLinux`.
    init(result: Int) {
        self.number = Int32(truncatingIfNeeded: -result)
    }

    package static let again = Errno(EAGAIN)
    package static let interrupted = Errno(EINTR)
    package static let inProgress = Errno(EINPROGRESS)
    package static let connectionRefused = Errno(ECONNREFUSED)
    package static let connectionReset = Errno(ECONNRESET)
    package static let connectionAborted = Errno(ECONNABORTED)
    package static let brokenPipe = Errno(EPIPE)
    package static let timedOut = Errno(ETIMEDOUT)
    package static let networkUnreachable = Errno(ENETUNREACH)
    package static let hostUnreachable = Errno(EHOSTUNREACH)
    package static let addressInUse = Errno(EADDRINUSE)
    package static let addressNotAvailable = Errno(EADDRNOTAVAIL)
    package static let accessDenied = Errno(EACCES)
    package static let notPermitted = Errno(EPERM)
    package static let notFound = Errno(ENOENT)
    package static let exists = Errno(EEXIST)
    package static let invalidArgument = Errno(EINVAL)
    package static let nameTooLong = Errno(ENAMETOOLONG)
    package static let notSocket = Errno(ENOTSOCK)
    package static let tooManyDescriptors = Errno(EMFILE)
    package static let tooManyDescriptorsInSystem = Errno(ENFILE)
    package static let noMemory = Errno(ENOMEM)
    /// A failure of TLS: `StreamChannel.tlsFailure` tells which.
    package static let protocolError = Errno(EPROTO)
    package static let noBuffers = Errno(ENOBUFS)

    /// The text of strerror(3), as in "Connection refused".
    public var description: String {
        cl_error_text(number).map { String(cString: $0) } ?? "error \(number)"
    }
}

/// The result of a shim as a value, or its errno thrown.
@inline(__always)
@discardableResult
func check(_ result: Int) throws(Errno) -> Int {
    guard result >= 0 else { throw Errno(result: result) }
    return result
}
