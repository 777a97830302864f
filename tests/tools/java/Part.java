import jakarta.persistence.*;
import java.math.BigDecimal;
import java.time.OffsetDateTime;
import java.util.*;
import org.hibernate.annotations.JdbcTypeCode;
import org.hibernate.type.SqlTypes;

@Entity
public class Part {
    public enum Colour { RED, GREEN, BLUE }

    @Id
    @GeneratedValue(strategy = GenerationType.SEQUENCE, generator = "part_seq")
    @SequenceGenerator(name = "part_seq", sequenceName = "part_seq", allocationSize = 50)
    public Long id;
    @Column(nullable = false, length = 60)
    public String code;
    @ManyToOne(fetch = FetchType.LAZY, optional = false)
    public Maker maker;
    @Enumerated(EnumType.STRING)
    @Column(length = 10, columnDefinition = "varchar(10)")
    public Colour colour;
    @Column(nullable = false, precision = 14, scale = 4)
    public BigDecimal price;
    public Double weight;
    @JdbcTypeCode(SqlTypes.JSON)
    public Map<String, Object> details;
    @JdbcTypeCode(SqlTypes.ARRAY)
    @Column(columnDefinition = "text[]")
    public String[] tags;
    @Column(nullable = false)
    public OffsetDateTime made = OffsetDateTime.parse("2026-01-01T00:00:00Z");
    public UUID reference;
    public boolean active = true;
    @Version
    public int version;
    @ManyToMany
    @JoinTable(name = "part_part", joinColumns = @JoinColumn(name = "part_id"), inverseJoinColumns = @JoinColumn(name = "needs_id"))
    public Set<Part> needs = new HashSet<>();
}
