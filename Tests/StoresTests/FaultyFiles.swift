import CSQLite
import Glibc
import Synchronization

/// SQLite's own file layer with faults: the n-th write or sync below a directory fails. Directories without a plan are
/// untouched.
enum FaultyFiles {
    enum Call: Sendable {
        case write
        case sync
    }

    struct Plan: Sendable {
        var call: Call
        /// Calls that still succeed.
        var remaining: Int
        /// What the failing call reports, one of SQLite's codes.
        var code: Int32
        /// The failing write leaves half of its octets.
        var isTorn = false
        /// Every later call fails too.
        var isLasting = false
        var hits = 0
    }

    private struct State {
        var plans: [String: Plan] = [:]
        var paths: [UnsafeMutablePointer<sqlite3_file>: String] = [:]
    }

    // sqlite3_file pointers are only compared.
    private struct Guarded: @unchecked Sendable {
        var state = State()
    }

    private static let guarded = Mutex(Guarded())
    nonisolated(unsafe) private static let original: UnsafeMutablePointer<sqlite3_vfs> = sqlite3_vfs_find(nil)
    nonisolated(unsafe) private static var methods: UnsafePointer<sqlite3_io_methods>?

    /// Makes the faulty layer the default one; once.
    static let install: Void = {
        let vfs = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
        vfs.initialize(to: original.pointee)
        vfs.pointee.zName = UnsafePointer(strdup("faulty"))
        vfs.pointee.pNext = nil
        vfs.pointee.xOpen = { _, name, file, flags, outFlags in
            let code = original.pointee.xOpen(original, name, file, flags, outFlags)
            guard code == SQLITE_OK, let file, let name, let methods = file.pointee.pMethods else { return code }
            let copy = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
            copy.initialize(to: methods.pointee)
            guarded.withLock { guarded in
                guarded.state.paths[file] = String(cString: name)
                if FaultyFiles.methods == nil { FaultyFiles.methods = UnsafePointer(methods) }
            }
            copy.pointee.xWrite = { file, octets, count, offset in
                guard let plan = fault(file, .write) else { return real.xWrite(file, octets, count, offset) }
                if plan.isTorn { _ = real.xWrite(file, octets, count / 2, offset) }
                return plan.code
            }
            copy.pointee.xSync = { file, flags in
                guard let plan = fault(file, .sync) else { return real.xSync(file, flags) }
                return plan.code
            }
            file.pointee.pMethods = UnsafePointer(copy)
            return code
        }
        sqlite3_vfs_register(vfs, 1)
    }()

    /// Every file of the unix layer writes and syncs with the same functions.
    private static var real: sqlite3_io_methods { methods!.pointee }

    private static func fault(_ file: UnsafeMutablePointer<sqlite3_file>?, _ call: Call) -> Plan? {
        guarded.withLock { guarded in
            guard let file, let path = guarded.state.paths[file],
                let (directory, found) = guarded.state.plans.first(where: { path.hasPrefix($0.key + "/") }),
                found.call == call
            else { return nil }
            var plan = found
            defer { guarded.state.plans[directory] = plan }
            if plan.remaining > 0 {
                plan.remaining -= 1
                return nil
            }
            if plan.remaining < 0 && !plan.isLasting { return nil }
            plan.remaining = -1
            plan.hits += 1
            return plan
        }
    }

    static func set(_ plan: Plan?, below directory: String) {
        guarded.withLock { $0.state.plans[directory] = plan }
    }

    static func hits(below directory: String) -> Int {
        guarded.withLock { $0.state.plans[directory]?.hits ?? 0 }
    }
}
