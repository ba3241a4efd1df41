import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.h2.mvstore.MVStore;

/** A server that speaks MongoDB's protocol, for tests: `StandIn PORT FILE`, on loopback only. */
public class StandIn {
    /** pymongo asks for wire version 9 or later; the library's own versions end at 8. */
    private static final class Announced implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
        }

        @Override
        public int getWireVersion() {
            return 13;
        }
    }

    /**
     * Says in `serverStatus`, as MongoDB does, how many commands reached it; all under one name.
     *
     * Commits between two commands: killed after a commit in the middle of one, it had documents for good that
     * no index knew, and could neither find them nor store them again.
     */
    private static final class Counting extends H2Backend {
        private static final long COMMIT_EVERY_MS = 300;
        private final AtomicLong commands = new AtomicLong();

        Counting(String file) {
            super(new MVStore.Builder().fileName(file).autoCommitDisabled().open());
            Thread committing = new Thread(this::commitNowAndThen, "commit");
            committing.setDaemon(true);
            committing.start();
        }

        @Override
        public synchronized Document handleMessage(MongoMessage message) {
            commands.incrementAndGet();
            return super.handleMessage(message);
        }

        @Override
        public synchronized void commit() {
            if (!getMvStore().isClosed()) {
                super.commit();
            }
        }

        private void commitNowAndThen() {
            while (!getMvStore().isClosed()) {
                commit();
                try {
                    Thread.sleep(COMMIT_EVERY_MS);
                } catch (InterruptedException ended) {
                    return;
                }
            }
        }

        @Override
        public Document getServerStatus() {
            return super.getServerStatus().append("opcounters", new Document("command", commands.get()));
        }
    }

    public static void main(String[] args) {
        H2Backend backend = new Counting(args[1]);
        backend.version(new Announced());
        MongoServer server = new MongoServer(backend);
        server.bind("127.0.0.1", Integer.parseInt(args[0]));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
    }
}
