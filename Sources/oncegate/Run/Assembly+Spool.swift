import Configuration
import Glibc
import Observability
import Proxy
import Transport

extension Assembly {
    /// Where large request bodies go: tried here, because at the first such request it would be too late.
    static func spoolDirectory(_ configuration: Configuration, _ log: Log) throws(StartError) -> SpoolDirectory? {
        switch (configuration.spool.place, configuration.store) {
        case (.off, _): return nil
        case (.directory(let path), _): return try open(path, "choose another 'spool_path', or 'off'")
        case (.standard, .embedded(let store)):
            let path = store.directory.hasSuffix("/") ? "\(store.directory)spool" : "\(store.directory)/spool"
            return try open(path, "set 'spool_path'")
        case (.standard, .memory):
            let path = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
            do throws(SpoolError) {
                return try SpoolDirectory(path: path)
            } catch {
                // Nobody asked for files: where there is no place for them the proxy works as with 'off'.
                log.warning(
                    "large request bodies stay in memory; to change it: 'spool_path DIRECTORY'",
                    .string("error", error.description))
                return nil
            }
        }
    }

    private static func open(_ path: String, _ remedy: String) throws(StartError) -> SpoolDirectory {
        do throws(SpoolError) {
            return try SpoolDirectory(path: path)
        } catch {
            throw StartError("cannot spool request bodies: \(error); \(remedy)")
        }
    }
}
