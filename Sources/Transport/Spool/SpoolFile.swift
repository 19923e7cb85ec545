internal import CLinux
internal import COpenSSL

/// A file without a name that holds octets in pieces, each written once and read as often as asked. What stands on the
/// disk is sealed (AES-256-GCM) under a key that exists only here, in memory: blocks that the file system gives back
/// tell nothing, and a piece that was changed is not taken for what was written.
///
/// All calls block. Any thread; the descriptor is closed with the last reference.
package final class SpoolFile: Sendable {
    /// Where a piece stands, and what proves that it is the one that was written.
    package struct Piece: Sendable, Equatable {
        package let number: UInt32
        package let offset: UInt64
        package let count: Int
        fileprivate let tag: [UInt8]
    }

    private let descriptor: Int32
    private let key: [UInt8]

    private static let tagBytes = 16
    private static let nonceBytes = 12

    /// Takes the descriptor over.
    init(descriptor: Int32) throws(SpoolError) {
        self.descriptor = descriptor
        var key = [UInt8](repeating: 0, count: 32)
        let isRandom = key.withUnsafeMutableBufferPointer { oncegate_random_octets($0.baseAddress, 32) == 1 }
        self.key = key
        guard isRandom else { throw .noCipher }
    }

    deinit {
        cl_close(descriptor)
    }

    /// - Parameter number: never used before with this file; it is the nonce.
    package func write(_ octets: [UInt8], number: UInt32, at offset: UInt64) throws(SpoolError) -> Piece {
        let (sealed, tag) = try seal(octets, number)
        var written = 0
        while written < sealed.count {
            let result = sealed.withUnsafeBytes { buffer in
                cl_write_at(descriptor, buffer.baseAddress! + written, sealed.count - written, off_t(offset) + written)
            }
            if result == -Int(EINTR) { continue }
            guard result > 0 else { throw .write(result == 0 ? Errno(ENOSPC) : Errno(result: result)) }
            written += result
        }
        return Piece(number: number, offset: offset, count: octets.count, tag: tag)
    }

    package func read(_ piece: Piece) throws(SpoolError) -> [UInt8] {
        var failure: SpoolError?
        let sealed = [UInt8](unsafeUninitializedCapacity: piece.count) { buffer, count in
            while count < piece.count {
                let result = cl_read_at(
                    descriptor, buffer.baseAddress! + count, piece.count - count, off_t(piece.offset) + count)
                if result == -Int(EINTR) { continue }
                guard result > 0 else {
                    failure = result == 0 ? .damaged : .read(Errno(result: result))
                    return
                }
                count += result
            }
        }
        if let failure { throw failure }
        return try open(sealed, piece)
    }

    private func seal(_ octets: [UInt8], _ number: UInt32) throws(SpoolError) -> (sealed: [UInt8], tag: [UInt8]) {
        guard octets.count <= Int32.max, let cipher = oncegate_gcm_create(key, 1) else { throw .noCipher }
        defer { EVP_CIPHER_CTX_free(cipher) }
        let nonce = Self.nonce(number)
        var tag = [UInt8](repeating: 0, count: Self.tagBytes)
        var isSealed = false
        let sealed = [UInt8](unsafeUninitializedCapacity: octets.count) { buffer, count in
            isSealed =
                oncegate_gcm_seal(
                    cipher, nonce, nonce, Int32(nonce.count), octets, Int32(octets.count), buffer.baseAddress, &tag)
                == 1
            count = octets.count
        }
        guard isSealed else { throw .noCipher }
        return (sealed, tag)
    }

    private func open(_ sealed: [UInt8], _ piece: Piece) throws(SpoolError) -> [UInt8] {
        guard let cipher = oncegate_gcm_create(key, 0) else { throw .noCipher }
        defer { EVP_CIPHER_CTX_free(cipher) }
        let nonce = Self.nonce(piece.number)
        var isAuthentic = false
        let octets = [UInt8](unsafeUninitializedCapacity: sealed.count) { buffer, count in
            isAuthentic =
                oncegate_gcm_open(
                    cipher, nonce, nonce, Int32(nonce.count), sealed, Int32(sealed.count), piece.tag, buffer.baseAddress
                ) == 1
            count = sealed.count
        }
        guard isAuthentic else { throw .damaged }
        return octets
    }

    private static func nonce(_ number: UInt32) -> [UInt8] {
        var nonce = [UInt8](repeating: 0, count: nonceBytes)
        for index in 0..<4 { nonce[index] = UInt8(truncatingIfNeeded: number >> (8 * UInt32(index))) }
        return nonce
    }
}
