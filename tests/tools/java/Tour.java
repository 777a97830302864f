import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import jakarta.persistence.LockModeType;
import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.flywaydb.core.Flyway;
import org.flywaydb.core.api.FlywayException;
import org.flywaydb.core.api.MigrationInfo;
import org.hibernate.Session;
import org.hibernate.SessionFactory;
import org.hibernate.cfg.Configuration;
import org.hibernate.exception.ConstraintViolationException;

/** What programs on the JVM do with the parts; each step prints what it saw. */
public class Tour {
    static HikariDataSource pool;

    static void say(Object... values) {
        StringBuilder line = new StringBuilder();
        for (Object value : values) line.append(value instanceof Object[] array ? java.util.Arrays.deepToString(array) : value).append(' ');
        System.out.println(line.toString().trim());
    }

    public static void main(String[] steps) throws Exception {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"));
        config.setUsername(System.getenv("PGUSER"));
        config.setPassword(System.getenv("PGPASSWORD"));
        config.setMaximumPoolSize(4);
        config.setConnectionTimeout(60_000);
        try (HikariDataSource made = new HikariDataSource(config)) {
            pool = made;
            for (int i = 1; i < steps.length; i++) {
                say("==", steps[i]);
                String[] step = steps[i].split(":");
                switch (step[0]) {
                    case "metadata" -> metadata();
                    case "info" -> info(steps[0]);
                    case "migrate" -> migrate(steps[0], step[1]);
                    case "failing" -> failing(steps[0]);
                    case "hibernate" -> hibernate(step[1]);
                    case "finish" -> finish();
                    default -> throw new IllegalArgumentException(step[0]);
                }
            }
        }
    }

    // DatabaseMetaData

    interface Query { ResultSet of(DatabaseMetaData m) throws SQLException; }

    static void show(String what, Query query) throws SQLException {
        try (Connection c = pool.getConnection(); ResultSet rows = query.of(c.getMetaData())) {
            ResultSetMetaData meta = rows.getMetaData();
            List<String> lines = new ArrayList<>();
            while (rows.next()) {
                StringBuilder line = new StringBuilder("  ");
                for (int i = 1; i <= meta.getColumnCount(); i++) {
                    String label = meta.getColumnLabel(i);
                    // A database's name, and statistics of files, aren't part of it.
                    if (label.matches("TABLE_CAT|PKTABLE_CAT|FKTABLE_CAT|FUNCTION_CAT|PROCEDURE_CAT|TYPE_CAT|CARDINALITY|PAGES|SPECIFIC_NAME")) continue;
                    line.append(' ').append(label).append('=').append(rows.getString(i));
                }
                lines.add(line.toString());
            }
            say(what, lines.size());
            Collections.sort(lines);
            lines.forEach(System.out::println);
        }
    }

    static void metadata() throws SQLException {
        for (String schema : List.of("public", "depot")) {
            show("tables " + schema, m -> m.getTables(null, schema, "%", null));
            show("columns " + schema, m -> m.getColumns(null, schema, "%", "%"));
            show("functions " + schema, m -> m.getFunctions(null, schema, "%"));
            show("function columns " + schema, m -> m.getFunctionColumns(null, schema, "%", "%"));
            show("procedures " + schema, m -> m.getProcedures(null, schema, "%"));
            show("types " + schema, m -> m.getUDTs(null, schema, "%", null));
            show("privileges " + schema, m -> m.getTablePrivileges(null, schema, "%"));
            List<String> tables = new ArrayList<>();
            try (Connection c = pool.getConnection(); ResultSet rows = c.getMetaData().getTables(null, schema, "%", new String[] {"TABLE", "PARTITIONED TABLE"})) {
                while (rows.next()) tables.add(rows.getString("TABLE_NAME"));
            }
            for (String table : tables) {
                show("primary " + table, m -> m.getPrimaryKeys(null, schema, table));
                show("imported " + table, m -> m.getImportedKeys(null, schema, table));
                show("exported " + table, m -> m.getExportedKeys(null, schema, table));
                show("indexes " + table, m -> m.getIndexInfo(null, schema, table, false, true));
                show("unique " + table, m -> m.getIndexInfo(null, schema, table, true, false));
                show("best row " + table, m -> m.getBestRowIdentifier(null, schema, table, DatabaseMetaData.bestRowSession, true));
                show("version columns " + table, m -> m.getVersionColumns(null, schema, table));
                show("column privileges " + table, m -> m.getColumnPrivileges(null, schema, table, "%"));
            }
        }
        show("cross", m -> m.getCrossReference(null, "public", "maker", null, "public", "part"));
        show("schemas", DatabaseMetaData::getSchemas);
        show("table types", DatabaseMetaData::getTableTypes);
        show("type info", DatabaseMetaData::getTypeInfo);
        show("client info", DatabaseMetaData::getClientInfoProperties);
        show("tables of all", m -> m.getTables(null, null, "%part%", new String[] {"TABLE", "VIEW", "INDEX", "SEQUENCE", "TYPE", "FOREIGN TABLE", "SYSTEM TABLE"}));
        try (Connection c = pool.getConnection()) {
            DatabaseMetaData m = c.getMetaData();
            say(m.getDatabaseProductName(), m.getDatabaseProductVersion(), m.getSQLKeywords(), m.getDefaultTransactionIsolation(), m.getStringFunctions(), m.isReadOnly(), c.getSchema());
        }
    }

    // Flyway

    static Flyway flyway(String folder, String target) {
        return Flyway.configure().dataSource(pool).locations("filesystem:" + folder).target(target).baselineOnMigrate(true).outOfOrder(true).load();
    }

    static void migrate(String folder, String target) {
        var result = flyway(folder, target).migrate();
        // A server-prepared statement of before wouldn't know the new columns.
        pool.getHikariPoolMXBean().softEvictConnections();
        say(result.initialSchemaVersion, result.targetSchemaVersion, result.migrationsExecuted, result.migrations.stream().map(m -> m.version).toList());
    }

    static void info(String folder) {
        for (MigrationInfo info : flyway(folder, "latest").info().all())
            say(info.getVersion(), info.getDescription(), info.getState(), info.getChecksum(), info.getInstalledBy());
        say(flyway(folder, "latest").validateWithResult().validationSuccessful);
    }

    static void failing(String folder) throws SQLException {
        try {
            migrate(folder, "5");
            say("didn't fail");
        } catch (FlywayException e) {
            say("failed", e.getMessage().lines().filter(l -> l.matches("(SQL State|Message|Line|ERROR|Detail).*")).map(l -> l.replaceAll("/.*/", "")).toList());
        }
        var repaired = flyway(folder, "latest").repair();
        say("repaired", repaired.migrationsRemoved.size(), repaired.migrationsAligned.size());
        try (Connection c = pool.getConnection()) {
            c.createStatement().execute("UPDATE part SET colour = colour WHERE id = 1");
            c.createStatement().execute("INSERT INTO flyway_schema_history SELECT 100, '5', 'failing', 'SQL', 'V5__failing.sql', NULL, 'app', now(), 0, true");
        }
        flyway(folder, "latest").repair();
    }

    static void finish() throws SQLException {
        try (Connection c = pool.getConnection()) {
            // How long each migration took is chance.
            say(c.createStatement().executeUpdate("UPDATE flyway_schema_history SET execution_time = 0"));
        }
    }

    // Hibernate

    static SessionFactory factory(String mode, Class<?>... entities) {
        Configuration configuration = new Configuration();
        for (Class<?> entity : entities) configuration.addAnnotatedClass(entity);
        configuration.getProperties().put("hibernate.connection.datasource", pool);
        configuration.setProperty("hibernate.hbm2ddl.auto", mode);
        configuration.setProperty("hibernate.jdbc.batch_size", "20");
        configuration.setProperty("hibernate.order_inserts", "true");
        configuration.setProperty("hibernate.jdbc.time_zone", "UTC");
        return configuration.buildSessionFactory();
    }

    static void hibernate(String step) {
        switch (step) {
            case "validate", "validate_changed" -> {
                try (SessionFactory f = factory("validate", Maker.class, Part.class, Shelf.class)) {
                    say("valid", f.getMetamodel().getEntities().size());
                } catch (Exception e) {
                    say("invalid", e.getMessage());
                }
            }
            case "use", "changed" -> {
                try (SessionFactory f = factory("none", Maker.class, Part.class, Shelf.class)) {
                    use(f, step);
                }
            }
            case "update" -> {
                try (SessionFactory f = factory("update", Maker.class, Part.class, Shelf.class, Item.class)) {
                    f.inTransaction(s -> {
                        for (int i = 0; i < 60; i++) {
                            Item item = new Item();
                            item.label = "Item " + i;
                            item.part = s.find(Part.class, (long) i + 1);
                            s.persist(item);
                        }
                    });
                    f.inSession(s -> say("items", s.createSelectionQuery("select i.label, i.part.code from Item i where i.part.price > 20 order by i.id", Object[].class).getResultList().stream().map(java.util.Arrays::toString).toList()));
                }
            }
            default -> throw new IllegalArgumentException(step);
        }
    }

    static void use(SessionFactory f, String step) {
        f.inTransaction(s -> {
            say("by maker", rows(s, "select m.name, count(p), sum(p.price) from Maker m join m.parts p where p.active group by m.name having count(p) > 20 order by m.name"));
            say("fetched", s.createSelectionQuery("from Maker m left join fetch m.parts where m.id < 5 order by m.id", Maker.class).getResultList().stream().map(m -> m.name + " " + m.parts.size()).toList());
            say("page", s.createSelectionQuery("from Part p order by p.price desc, p.id", Part.class).setFirstResult(40).setMaxResults(10).getResultList().stream().map(p -> p.id + " " + p.price + " " + p.details + " " + p.colour).toList());
            say("needs", s.find(Part.class, 30L).needs.stream().map(p -> p.code).sorted().toList());
            say("shelves", rows(s, "select s.place.hall, count(*), max(s.part.price) from Shelf s where s.amount > 3 group by s.place.hall order by 1"));
            say("window", rows(s, "select p.id, rank() over (partition by p.maker order by p.price desc, p.id) from Part p where p.id < 60 order by p.id"));
            say("native", s.createNativeQuery("SELECT id, tags, reference FROM part WHERE 't2' = ANY (tags) ORDER BY id LIMIT 12", Object[].class).getResultList().stream().map(java.util.Arrays::deepToString).toList());
            say("cte", rows(s, "with big as (select p.maker.id as mid, p.price as price from Part p where p.price > 70) select b.mid, count(*) from big b group by b.mid order by b.mid"));
        });
        f.inTransaction(s -> {
            Maker maker = new Maker();
            maker.name = "Made by " + step;
            if (step.equals("changed")) s.createNativeMutationQuery("ALTER TABLE maker ALTER COLUMN country SET DEFAULT 'NO'").executeUpdate();
            for (int i = 0; i < 70; i++) {
                Part part = new Part();
                part.code = "H" + i;
                part.maker = maker;
                part.price = BigDecimal.valueOf(i);
                part.colour = Part.Colour.values()[i % 3];
                part.details = Map.of("made", step);
                part.tags = new String[] {"hibernate", "t" + i % 3};
                maker.parts.add(part);
            }
            s.persist(maker);
            s.flush();
            say("persisted", maker.id, maker.parts.get(0).id, maker.parts.get(69).id);
        });
        f.inTransaction(s -> {
            Part part = s.find(Part.class, 77L, LockModeType.PESSIMISTIC_WRITE);
            part.price = part.price.add(BigDecimal.ONE);
            part.needs.add(s.getReference(Part.class, 500L));
            Maker second = s.find(Maker.class, 2L);
            second.name += "!";
            second.parts.removeIf(p -> p.id > 700 && p.needs.isEmpty());
            say("skip locked", s.createSelectionQuery("from Part p where p.price > 85 order by p.id", Part.class).setHibernateLockMode(org.hibernate.LockMode.UPGRADE_SKIPLOCKED).setMaxResults(5).getResultList().stream().map(p -> p.id).toList());
        });
        say("versions", f.fromSession(s -> rows(s, "select p.id, p.version, p.price from Part p where p.version > 0 order by p.id")));
        try {
            f.inTransaction(s -> {
                s.createNativeQuery("DELETE FROM depot.shelf WHERE part_id IN (SELECT id FROM part WHERE maker_id = 4)", Object.class);
                say("bulk update", s.createMutationQuery("update Part p set p.price = p.price * 2, p.active = false where p.maker.id = 4").executeUpdate());
                say("versioned", s.createMutationQuery("update versioned Maker m set m.name = concat(m.name, '?') where m.id < 4").executeUpdate());
                say("insert select", s.createMutationQuery("insert into Shelf (place.hall, place.place, part, amount) select 99, cast(p.id as integer), p, 1 from Part p where p.id < 20").executeUpdate());
                say("upsert", s.createNativeMutationQuery("INSERT INTO depot.shelf (hall, place, amount) VALUES (1, 1, 5), (77, 1, 5) ON CONFLICT (hall, place) DO UPDATE SET amount = excluded.amount + shelf.amount").executeUpdate());
                say("bulk delete", s.createMutationQuery("delete from Shelf s where s.place.hall = 2").executeUpdate());
            });
        } catch (ConstraintViolationException e) {
            say("violated at the end", e.getConstraintName(), e.getSQLState());
        } catch (Exception e) {
            say("failed at the end", e.getClass().getSimpleName(), cause(e));
        }
        for (String hql : List.of("update Part p set p.price = -1 where p.id = 3", "update Part p set p.code = 'C8' where p.id = 38", "delete from Maker m where m.id = 9", "update Part p set p.maker.id = 4711 where p.id = 9", "update Maker m set m.name = null where m.id = 9")) {
            try {
                f.inTransaction(s -> say(s.createMutationQuery(hql).executeUpdate()));
            } catch (ConstraintViolationException e) {
                say("violated", e.getConstraintName(), e.getKind(), e.getSQLState());
            }
        }
        f.inStatelessTransaction(s -> {
            Part part = s.get(Part.class, 88L);
            part.weight = 3.5;
            s.update(part);
            Maker maker = new Maker();
            maker.name = "Stateless " + step;
            s.upsert(s.get(Shelf.class, new Shelf.Place(3, 3)));
            s.insert(maker);
            say("stateless", maker.id);
        });
        say("scrolled", f.fromSession(s -> s.createSelectionQuery("from Part p order by p.id", Part.class).setFetchSize(50).getResultStream().mapToLong(p -> p.id).sum()));
    }

    static String cause(Throwable e) {
        Throwable last = e;
        while (last.getCause() != null) last = last.getCause();
        return last.getMessage().lines().findFirst().orElse("");
    }

    static List<String> rows(Session s, String hql) {
        return s.createSelectionQuery(hql, Object[].class).getResultList().stream().map(java.util.Arrays::toString).collect(Collectors.toList());
    }
}
