internal import CLinux
internal import COpenSSL

/// The keys that session tickets are encrypted with (RFC 5077 §4, RFC 8446 §4.6.1). Shared by the contexts that are
/// given it, and by all workers.
///
/// Either they are this process's own: in memory only, a fresh one each hour, twelve of them good for decryption. Or
/// they are made from secrets that several proxies have: the first encrypts, all decrypt, and whoever gives them
/// replaces them. A session ends after half a day in either case.
package final class TLSTicketKeys: Sendable {
    private struct Key {
        var name: [UInt8]
        var cipher: [UInt8]
        var mac: [UInt8]
        var born: Int64
    }

    /// How long tickets are made with one key.
    package static let rotationSeconds: Int64 = 3600
    package static let keptMax = 12
    package static let secretOctets = 32

    private let clock: @Sendable () -> Int64
    private let isShared: Bool
    /// The one that encrypts first.
    private let keys = Locked<[Key]>([])

    /// - Parameter clock: seconds that never go back.
    package init(clock: @escaping @Sendable () -> Int64 = TLSTicketKeys.monotonicSeconds) {
        self.clock = clock
        isShared = false
    }

    /// - Parameter secrets: at least one; the same ones in the same order make the same keys everywhere.
    package init(secrets: [[UInt8]]) {
        clock = { 0 }
        isShared = true
        replace(secrets: secrets)
    }

    /// For the tickets from here on.
    package func replace(secrets: [[UInt8]]) {
        precondition(isShared && !secrets.isEmpty, "keys of its own")
        var other = secrets.map { Self.key(from: $0) }
        keys.withLock { swap(&$0, &other) }
        while let key = other.popLast() { Self.erase(key) }
    }

    /// Looked up once: libcrypto would do it for each ticket. Never changed, and alive as long as the process.
    nonisolated(unsafe) private static let cipher256: OpaquePointer? = EVP_CIPHER_fetch(nil, "AES-256-CBC", nil)

    deinit {
        keys.withLock { keys in
            while let key = keys.popLast() { Self.erase(key) }
        }
    }

    package static let monotonicSeconds: @Sendable () -> Int64 = {
        Int64(Instant.current().nanoseconds / 1_000_000_000)
    }

    /// The keys that a ticket can have been made with, for tests.
    package var count: Int {
        let now = clock()
        return keys.withLock { keys in
            Self.dropOld(&keys, now: now)
            return keys.count
        }
    }

    /// libssl asks for a key to make a ticket with. 1, or -1 on an error.
    func encrypt(
        name: UnsafeMutablePointer<UInt8>, iv: UnsafeMutablePointer<UInt8>, _ cipher: OpaquePointer,
        _ mac: OpaquePointer
    ) -> Int32 {
        let now = clock()
        guard RAND_bytes(iv, 16) == 1 else { return -1 }
        return keys.withLock { keys in
            Self.dropOld(&keys, now: now)
            if !isShared, keys.isEmpty || now - keys[0].born >= Self.rotationSeconds {
                guard let fresh = Self.fresh(now: now) else { return -1 }
                keys.insert(fresh, at: 0)
                if keys.count > Self.keptMax { Self.erase(keys.removeLast()) }
            }
            name.update(from: keys[0].name, count: 16)
            guard EVP_EncryptInit_ex(cipher, Self.cipher256, nil, keys[0].cipher, iv) == 1,
                oncegate_tls_ticket_mac(mac, keys[0].mac, keys[0].mac.count) == 1
            else { return -1 }
            return 1
        }
    }

    /// libssl asks for the key of a ticket. 0: unknown, 1: found, 2: found, and a new ticket is due.
    func decrypt(
        name: UnsafePointer<UInt8>, iv: UnsafePointer<UInt8>, _ cipher: OpaquePointer, _ mac: OpaquePointer
    ) -> Int32 {
        let now = clock()
        return keys.withLock { keys in
            Self.dropOld(&keys, now: now)
            let wanted = UnsafeBufferPointer(start: name, count: 16)
            guard let index = keys.firstIndex(where: { $0.name.elementsEqual(wanted) }) else { return 0 }
            guard oncegate_tls_ticket_mac(mac, keys[index].mac, keys[index].mac.count) == 1,
                EVP_DecryptInit_ex(cipher, Self.cipher256, nil, keys[index].cipher, iv) == 1
            else { return -1 }
            // The shared ones are all born at 0, where their clock stands.
            return index == 0 && now - keys[0].born < Self.rotationSeconds ? 1 : 2
        }
    }

    private static func dropOld(_ keys: inout [Key], now: Int64) {
        while let last = keys.last, now - last.born >= rotationSeconds * Int64(keptMax) { erase(keys.removeLast()) }
    }

    private static func fresh(now: Int64) -> Key? {
        var random = [UInt8](repeating: 0, count: 16 + 32 + 32)
        guard RAND_bytes(&random, Int32(random.count)) == 1 else { return nil }
        defer { random.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
        return Key(
            name: Array(random[..<16]), cipher: Array(random[16..<48]), mac: Array(random[48...]), born: now)
    }

    /// One secret for three uses: HMAC-SHA-256 under it of what each is for.
    private static func key(from secret: [UInt8]) -> Key {
        func part(_ use: StaticString) -> [UInt8] {
            var out = [UInt8](repeating: 0, count: 32)
            HMAC(EVP_sha256(), secret, Int32(secret.count), use.utf8Start, use.utf8CodeUnitCount, &out, nil)
            return out
        }
        return Key(
            name: Array(part("oncegate ticket name")[..<16]), cipher: part("oncegate ticket cipher"),
            mac: part("oncegate ticket mac"), born: 0)
    }

    private static func erase(_ key: consuming Key) {
        key.cipher.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
        key.mac.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
    }
}
