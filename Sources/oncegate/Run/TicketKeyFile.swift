import Idempotency
import Transport

/// The file of keys for session tickets that replicas share: the text of a key ring.
enum TicketKeyFile {
    /// Far more than the keys of a ring and their comments.
    private static let bytesMax = 64 << 10

    /// The octets of each key.
    static func read(_ path: String) throws(TLSError) -> [[UInt8]] {
        func failure(_ kind: TLSError.Kind, _ problem: String) -> TLSError {
            TLSError(
                kind: kind, path: path, problem: problem,
                advice: "it must hold one key a line, of 32 octets: openssl rand -base64 32")
        }
        let octets: [UInt8]
        do throws(FileContent.Failure) {
            octets = try FileContent.read(path, bytesMax: bytesMax)
        } catch {
            throw failure(.unreadable, "cannot be read: \(error)")
        }
        guard octets.count <= bytesMax else { throw failure(.malformed, "is larger than \(bytesMax) octets") }
        do throws(KeyRingError) {
            return try KeyRing(parsing: octets).keys.map(\.octets)
        } catch {
            throw failure(.malformed, error.description)
        }
    }
}
