import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;

/**
 * Lends the providers' own libraries to the tests: reads one command as JSON a line, answers with one.
 *
 * `{"do": "alipay.sign", …}` is answered with `{"answer": …}`, or with `{"refused": [class and text of each cause]}`
 * if the library threw.
 */
public class Driver {
    /** One thing that a library can do. */
    interface Command {
        Object run(JsonObject asked) throws Exception;
    }

    static final Gson GSON = new GsonBuilder().disableHtmlEscaping().serializeNulls().create();

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err); // what the libraries print is no answer
        Map<String, Command> commands = new TreeMap<>();
        Alipay.addTo(commands);
        WeChat.addTo(commands);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            answers.println(GSON.toJson(answer(commands, GSON.fromJson(line, JsonObject.class))));
        }
        System.exit(0); // the libraries leave threads behind
    }

    private static Map<String, Object> answer(Map<String, Command> commands, JsonObject asked) {
        Map<String, Object> told = new TreeMap<>();
        try {
            told.put("answer", commands.get(asked.get("do").getAsString()).run(asked));
        } catch (Exception | LinkageError thrown) {
            StringBuilder causes = new StringBuilder();
            for (Throwable cause = thrown; cause != null; cause = cause.getCause()) {
                causes.append(cause.getClass().getSimpleName()).append(": ").append(cause.getMessage()).append('\n');
            }
            told.put("refused", causes.toString());
        }
        return told;
    }

    /** A text of the command; empty if it has none. */
    static String text(JsonObject asked, String name) {
        return asked.has(name) ? asked.get(name).getAsString() : "";
    }

    /** The texts of an object in the command. */
    static Map<String, String> texts(JsonObject asked, String name) {
        Map<String, String> found = new TreeMap<>();
        asked.getAsJsonObject(name).entrySet().forEach(one -> found.put(one.getKey(), one.getValue().getAsString()));
        return found;
    }
}
