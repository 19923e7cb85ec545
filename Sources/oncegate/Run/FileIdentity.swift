import Glibc

/// Which file a path leads to, and in which state.
struct FileIdentity: Equatable {
    private var device: UInt = 0
    private var inode: UInt = 0
    private var bytes = 0
    private var seconds = 0
    private var nanoseconds = 0

    /// All zero for a file that cannot be looked at.
    init(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return }
        device = UInt(status.st_dev)
        inode = UInt(status.st_ino)
        bytes = Int(status.st_size)
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
    }
}
