import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import org.postgresql.PGConnection;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/** pgjdbc with its defaults: what it sees is printed, to be compared with what it sees on a full copy. */
public class Smoke {
    static void show(String what, ResultSet rows) throws SQLException {
        ResultSetMetaData meta = rows.getMetaData();
        StringBuilder head = new StringBuilder(what);
        for (int i = 1; i <= meta.getColumnCount(); i++) {
            head.append(' ').append(meta.getColumnLabel(i)).append(':').append(meta.getColumnTypeName(i))
                .append(':').append(meta.getTableName(i)).append(':').append(meta.isNullable(i))
                .append(':').append(meta.isAutoIncrement(i));
        }
        System.out.println(head);
        while (rows.next()) {
            StringBuilder line = new StringBuilder("  ");
            for (int i = 1; i <= meta.getColumnCount(); i++) line.append(' ').append(rows.getString(i));
            System.out.println(line);
        }
        rows.close();
    }

    static void fails(Connection c, String sql) throws SQLException {
        Savepoint here = c.getAutoCommit() ? null : c.setSavepoint();
        try (Statement s = c.createStatement()) {
            s.execute(sql);
            System.out.println("no error from " + sql);
        } catch (PSQLException e) {
            ServerErrorMessage m = e.getServerErrorMessage();
            System.out.println(e.getSQLState() + " " + m.getMessage() + " " + m.getDetail() + " " + m.getTable() + " " + m.getConstraint());
            if (here != null) c.rollback(here);
        }
    }

    public static void main(String[] a) throws Exception {
        String url = "jdbc:postgresql://" + a[0] + ":" + a[1] + "/" + a[4];
        try (Connection c = DriverManager.getConnection(url, a[2], a[3])) {
            System.out.println(c.getMetaData().getDatabaseMajorVersion() + " " + c.getMetaData().getUserName());
            try (Statement s = c.createStatement()) {
                show("plain", s.executeQuery("SELECT id, name, balance, settings, tags, created_at FROM users WHERE id < 4 ORDER BY id"));
            }
            // The sixth time it's a named statement with binary results.
            try (PreparedStatement p = c.prepareStatement("SELECT id, status, total, reference FROM orders WHERE user_id = ? ORDER BY id")) {
                for (int i = 1; i <= 8; i++) {
                    p.setLong(1, i);
                    show("prepared", p.executeQuery());
                }
            }
            try (PreparedStatement p = c.prepareStatement("UPDATE users SET name = ? WHERE id = ?")) {
                for (int i = 1; i <= 8; i++) {
                    p.setString(1, "jdbc" + i);
                    p.setLong(2, i);
                    System.out.println("updated " + p.executeUpdate());
                }
            }
            try (PreparedStatement p = c.prepareStatement("INSERT INTO users (email, name) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                p.setString(1, "jdbc@example.org");
                p.setString(2, "Jdbc");
                p.executeUpdate();
                show("generated", p.getGeneratedKeys());
            }
            try (PreparedStatement p = c.prepareStatement("INSERT INTO counters VALUES (?, ?)")) {
                for (int i = 0; i < 300; i++) {
                    p.setString(1, "batch" + i);
                    p.setLong(2, i);
                    p.addBatch();
                }
                System.out.println("batch " + p.executeBatch().length);
            }
            fails(c, "INSERT INTO users (id, email, name) VALUES (5, 'x', 'x')");
            fails(c, "INSERT INTO orders (user_id) VALUES (987654)");
            fails(c, "SELECT nothing FROM users");
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                s.setFetchSize(50);
                ResultSet rows = s.executeQuery("SELECT id FROM orders ORDER BY id");
                long sum = 0;
                while (rows.next()) sum += rows.getLong(1);
                System.out.println("fetched " + sum);
            }
            fails(c, "DELETE FROM products WHERE id = 14");
            try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
                ResultSet rows = s.executeQuery("SELECT name, value FROM counters WHERE name = 'c4'");
                rows.next();
                rows.updateLong("value", 444);
                rows.updateRow();
            }
            c.commit();
            try (Statement s = c.createStatement()) {
                s.executeUpdate("DELETE FROM counters WHERE name LIKE 'c%'");
                c.rollback();
                show("rolled back", s.executeQuery("SELECT count(*), sum(value) FROM counters"));
            }
            c.commit();
            c.setAutoCommit(true);
            long in = c.unwrap(PGConnection.class).getCopyAPI().copyIn("COPY counters FROM STDIN", new StringReader("jcopy1\t1\njcopy2\t2\n"));
            StringWriter out = new StringWriter();
            c.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY (SELECT * FROM counters WHERE name LIKE 'jcopy%' ORDER BY name) TO STDOUT", out);
            System.out.println("copied " + in + " " + out);
            c.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            c.setReadOnly(true);
            fails(c, "DELETE FROM counters");
            c.setReadOnly(false);
            c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            for (String[] t : new String[][] {{"TABLE"}, {"VIEW"}, {"FOREIGN TABLE"}}) {
                ResultSet rows = c.getMetaData().getTables(null, null, "%", t);
                while (rows.next()) System.out.println(t[0] + " " + rows.getString("TABLE_SCHEM") + "." + rows.getString("TABLE_NAME"));
            }
            ResultSet columns = c.getMetaData().getColumns(null, "public", "orders", "%");
            while (columns.next()) System.out.println(columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME") + " " + columns.getString("COLUMN_DEF") + " " + columns.getString("IS_AUTOINCREMENT"));
            ResultSet keys = c.getMetaData().getImportedKeys(null, "public", "order_items");
            while (keys.next()) System.out.println(keys.getString("PKTABLE_NAME") + " " + keys.getString("FK_NAME"));
            ResultSet primary = c.getMetaData().getPrimaryKeys(null, "public", "order_items");
            while (primary.next()) System.out.println(primary.getString("COLUMN_NAME") + " " + primary.getString("PK_NAME"));
        }
    }
}
