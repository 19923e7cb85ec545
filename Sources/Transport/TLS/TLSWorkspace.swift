internal import COpenSSL

/// The buffers that all sessions of a worker share: libssl is at work on one session at a time, and between two calls
/// nothing stays in them.
final class TLSWorkspace {
    /// 2^14 octets of content, RFC 8446 §5.1, RFC 5246 §6.2.1.
    static let recordContentMax = 16 * 1024
    /// A record with its header, padding and tag.
    static let recordMax = recordContentMax + 512
    /// Records that are encrypted before the kernel is given them.
    private static let recordsPerSend = 4

    /// Where input lands: room for one read.
    let ciphertext: UnsafeMutablePointer<UInt8>
    let io: UnsafeMutablePointer<oncegate_tls_io>
    /// Small pieces of output, put together to one record.
    let record: UnsafeMutableRawPointer
    private let output: UnsafeMutablePointer<UInt8>

    let pool: BlockPool

    init(readBytes: Int, pool: BlockPool) {
        self.pool = pool
        ciphertext = .allocate(capacity: readBytes)
        let capacity = Self.recordsPerSend * Self.recordMax
        output = .allocate(capacity: capacity)
        record = .allocate(byteCount: Self.recordContentMax, alignment: 64)
        io = .allocate(capacity: 1)
        io.initialize(
            to: oncegate_tls_io(
                input: nil, input_left: 0, output: output, output_used: 0, output_capacity: capacity))
    }

    deinit {
        ciphertext.deallocate()
        output.deallocate()
        record.deallocate()
        io.deallocate()
    }

    /// What libssl wrote; valid until it is called again.
    func takeOutput() -> UnsafeRawBufferPointer {
        defer { io.pointee.output_used = 0 }
        return UnsafeRawBufferPointer(start: output, count: io.pointee.output_used)
    }

    /// For what is said without libssl.
    func write(_ octets: [UInt8]) {
        precondition(hasRoomForRecord && octets.count <= Self.recordContentMax)
        octets.withUnsafeBufferPointer {
            (output + io.pointee.output_used).update(from: $0.baseAddress!, count: $0.count)
        }
        io.pointee.output_used += octets.count
    }

    var hasOutput: Bool { io.pointee.output_used > 0 }

    var hasRoomForRecord: Bool { io.pointee.output_capacity - io.pointee.output_used >= Self.recordMax }

    /// Made once; nil without memory.
    nonisolated(unsafe) static let bioMethod: OpaquePointer? = oncegate_tls_bio_method()
}
