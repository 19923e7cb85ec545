import Idempotency

/// The keys that records are sealed with.
extension ModelBuilder {
    /// The keys of all lines together; nil where there is none or a mistake.
    mutating func keyRing(_ block: CheckedBlock) -> KeyRing? {
        let statements = block.all("key")
        var text: [UInt8] = []
        var ring: KeyRing?
        for statement in statements {
            text += Array((statement.values.text(0) ?? "").utf8) + [UInt8(ascii: "\n")]
            do throws(KeyRingError) {
                // Of one line alone first: what is wrong with it does not depend on the others.
                _ = try KeyRing(parsing: (statement.values.text(0) ?? "").utf8)
                ring = try KeyRing(parsing: text)
            } catch {
                log.error(statement.place(0), "\(shown(statement, 0)): \(error)")
                return nil
            }
            inspectSecret(statement, 0)
        }
        return ring
    }

    private mutating func inspectSecret(_ statement: CheckedStatement, _ index: Int) {
        guard let inspection, index < statement.secretPaths.count, let path = statement.secretPaths[index] else {
            return
        }
        for finding in inspection.secret(path) { report(finding, statement, index) }
    }
}
