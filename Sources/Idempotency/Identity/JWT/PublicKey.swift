import COpenSSL

/// A public key of libcrypto's, freed when the last holder lets go.
///
/// Unchecked: it is not changed after it was made, libcrypto counts its references atomically, and any number of
/// threads verify with one key.
@safe final class PublicKey: @unchecked Sendable {
    private let pointer: OpaquePointer

    private init?(_ pointer: OpaquePointer?) {
        guard let pointer = unsafe pointer else { return nil }
        unsafe self.pointer = pointer
    }

    deinit {
        unsafe EVP_PKEY_free(pointer)
    }

    convenience init?(pem: [UInt8]) {
        guard let count = Int32(exactly: pem.count) else { return nil }
        // libcrypto reads `count` octets of an array that lives through the call. So in the other initialisers.
        unsafe self.init(pem.withUnsafeBufferPointer { unsafe oncegate_jws_key_of_pem($0.baseAddress, count) })
    }

    convenience init?(modulus: [UInt8], exponent: [UInt8]) {
        guard !modulus.isEmpty, !exponent.isEmpty, modulus.count <= 1024, exponent.count <= 8 else { return nil }
        unsafe self.init(
            modulus.withUnsafeBufferPointer { modulus in
                unsafe exponent.withUnsafeBufferPointer { exponent in
                    unsafe oncegate_jws_rsa_key(
                        modulus.baseAddress, Int32(modulus.count), exponent.baseAddress, Int32(exponent.count))
                }
            })
    }

    /// Of a point of P-256.
    convenience init?(x: [UInt8], y: [UInt8]) {
        guard x.count == 32, y.count == 32 else { return nil }
        unsafe self.init(([4] + x + y).withUnsafeBufferPointer { unsafe oncegate_jws_p256_key($0.baseAddress) })
    }

    convenience init?(ed25519 octets: [UInt8]) {
        guard octets.count == 32 else { return nil }
        unsafe self.init(octets.withUnsafeBufferPointer { unsafe oncegate_jws_ed25519_key($0.baseAddress) })
    }

    /// What it can be for; nil for a key of another kind.
    var algorithm: JWTScope.Algorithm? {
        if unsafe oncegate_jws_is_rsa(pointer) == 1 { return .rs256 }
        if unsafe oncegate_jws_is_p256(pointer) == 1 { return .es256 }
        return unsafe oncegate_jws_is_ed25519(pointer) == 1 ? .edDSA : nil
    }

    var bits: Int { Int(unsafe EVP_PKEY_get_bits(pointer)) }
    var isSound: Bool { unsafe oncegate_jws_is_sound(pointer) == 1 }

    func verifies(_ signature: [UInt8], of octets: Span<UInt8>, _ algorithm: JWTScope.Algorithm) -> Bool {
        unsafe signature.withUnsafeBufferPointer { signature in
            unsafe octets.withUnsafeBufferPointer { octets in
                // libcrypto reads as many octets as it is told; both buffers live through the call.
                switch algorithm {
                case .hs256:
                    false
                case .rs256:
                    unsafe oncegate_jws_verifies(
                        pointer, 1, signature.baseAddress, signature.count, octets.baseAddress, octets.count) == 1
                case .es256:
                    unsafe signature.count == 64
                        && oncegate_jws_verifies_p256(
                            pointer, signature.baseAddress, octets.baseAddress, octets.count) == 1
                case .edDSA:
                    unsafe signature.count == 64
                        && oncegate_jws_verifies(
                            pointer, 0, signature.baseAddress, signature.count, octets.baseAddress, octets.count) == 1
                }
            }
        }
    }
}
