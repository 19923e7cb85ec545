internal import Idempotency

/// Bodies that were appended, by the epoch of their attempt.
struct InMemoryBodies {
    private struct Body {
        var key: RecordKey
        var octets: [UInt8] = []
        var isRecorded = false
        /// Octets of it were refused.
        var isBroken = false
        /// Set when its record is gone.
        var readableUntil: UInt64?
    }

    private var bodies: [UInt64: Body] = [:]

    /// The size after it; nil when octets before these were lost.
    mutating func append(_ reference: ClaimReference, _ octets: [UInt8]) -> UInt64? {
        var body = bodies.removeValue(forKey: reference.epoch) ?? Body(key: reference.key)
        defer { bodies[reference.epoch] = body }
        guard !body.isBroken else { return nil }
        body.octets += octets
        return UInt64(body.octets.count)
    }

    mutating func lose(_ reference: ClaimReference) {
        bodies[reference.epoch, default: Body(key: reference.key)].isBroken = true
    }

    /// Whether an answer may say that so many octets are stored.
    func holds(_ epoch: UInt64, _ bytes: UInt64) -> Bool {
        guard bytes > 0 else { return true }
        guard let body = bodies[epoch] else { return false }
        return !body.isBroken && !body.isRecorded && UInt64(body.octets.count) == bytes
    }

    mutating func record(_ epoch: UInt64) {
        bodies[epoch]?.isRecorded = true
    }

    /// The record is gone, or stands without this body. Returns the octets that are given up.
    mutating func forget(_ epoch: UInt64, until time: UInt64) -> UInt64 {
        guard let body = bodies[epoch] else { return 0 }
        guard body.isRecorded, time > 0 else {
            bodies[epoch] = nil
            return UInt64(body.octets.count)
        }
        bodies[epoch]?.readableUntil = time
        return 0
    }

    mutating func expire(_ now: UInt64) -> UInt64 {
        var bytes: UInt64 = 0
        for (epoch, body) in bodies {
            guard let time = body.readableUntil, time <= now else { continue }
            bytes += UInt64(body.octets.count)
            bodies[epoch] = nil
        }
        return bytes
    }

    func read(_ reference: ClaimReference, from offset: UInt64, countMax: Int) -> [UInt8]? {
        guard let body = bodies[reference.epoch], body.isRecorded, body.key == reference.key,
            offset < UInt64(body.octets.count)
        else { return nil }
        let start = Int(offset)
        let count = min(max(1, countMax), StoredBody.pieceBytes, body.octets.count - start)
        return Array(body.octets[start..<start + count])
    }
}
