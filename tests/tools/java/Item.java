import jakarta.persistence.*;

/** No migration makes its table: Hibernate does. */
@Entity
@Table(indexes = @Index(name = "item_label", columnList = "label"))
public class Item {
    @Id
    @GeneratedValue(strategy = GenerationType.SEQUENCE)
    public Long id;
    @Column(length = 40)
    public String label;
    @ManyToOne
    public Part part;
}
