import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

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

    /** Says in `serverStatus`, as MongoDB does, how many commands reached it; all under one name. */
    private static final class Counting extends H2Backend {
        private final AtomicLong commands = new AtomicLong();

        Counting(String file) {
            super(file);
        }

        @Override
        public Document handleMessage(MongoMessage message) {
            commands.incrementAndGet();
            return super.handleMessage(message);
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
