import Foundation

/// A text file of the repository.
struct SourceFile {
    /// Relative to the repository's folder.
    let path: String
    let lines: [Substring]
}

/// One place that breaks a rule, written as compilers write theirs.
struct Finding: CustomStringConvertible {
    let path: String
    let line: Int
    let message: String

    var description: String { "\(path):\(line): \(message)" }
}

/// The files that the rules are about: what is kept in the repository, without build folders.
enum SourceTree {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The files below `folder` that have one of these extensions (all if none is given), sorted by path.
    static func files(in folder: String, extensions: Set<String> = ["swift"]) -> [SourceFile] {
        let base = root.appending(path: folder)
        guard let walk = FileManager.default.enumerator(at: base, includingPropertiesForKeys: [.isRegularFileKey])
        else {
            return []
        }
        var files: [SourceFile] = []
        for case let url as URL in walk {
            if url.lastPathComponent.hasPrefix(".build") || url.lastPathComponent == "__pycache__" {
                walk.skipDescendants()
                continue
            }
            guard extensions.isEmpty || extensions.contains(url.pathExtension), let file = read(url) else { continue }
            files.append(file)
        }
        return files.sorted { $0.path < $1.path }
    }

    /// The text files directly in the repository's folder.
    static func filesAtTop() -> [SourceFile] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root.path)) ?? []
        // Not kept in the repository: the resolver writes the one, and a work tree has the other.
        return names.filter { $0 != "Package.resolved" && $0 != ".git" }.sorted().compactMap {
            read(root.appending(path: $0))
        }
    }

    private static func read(_ url: URL) -> SourceFile? {
        guard (try? url.resourceValues(forKeys: [.isRegularFileKey]))?.isRegularFile == true,
            let text = try? String(contentsOf: url, encoding: .utf8)
        else { return nil }
        let prefix = root.path.hasSuffix("/") ? root.path : root.path + "/"
        let path = url.path.hasPrefix(prefix) ? String(url.path.dropFirst(prefix.count)) : url.path
        return SourceFile(path: path, lines: text.split(separator: "\n", omittingEmptySubsequences: false))
    }
}
